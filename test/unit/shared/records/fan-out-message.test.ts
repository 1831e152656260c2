import { describe, expect, test } from '@jest/globals'
import { decodeFanOutMessage, encodeFanOutMessage } from '#shared/records/fan-out-message.ts'
import { message } from '../../../contract/fan-out-contract.ts'

const text = (body: Uint8Array): string => Buffer.from(body).toString()

describe('fan-out message', () => {
  test('golden bytes of version 1', () => {
    const { attributes, body } = encodeFanOutMessage(message(1, 2), 10_000)
    expect(attributes).toEqual({ domain: 'a.example', id: '00000000-0000-4000-8000-000000000001', ii: '2', active_type: 'application/json' })
    expect(text(body)).toBe(
      '{"v":1,"id":"00000000-0000-4000-8000-000000000001","ii":2,"domain":"a.example","owner":"11111111-1111-5111-8111-111111111111","user":"22222222-2222-5222-8222-222222222222","active_type":"application/json","ts":1700000000002,"patch":[{"op":"add","path":["n"],"value":2}]}',
    )
  })

  test('the patch comes back letter by letter', () => {
    for (const patch of ['[{"op":"add","path":["n"],"value":1.0}]', '[{"value":12345678901234567890, "op":"add","path":[]}]', '[]', '[{"op":"add","path":["a"],"value":1,"value":2}]']) {
      expect(decodeFanOutMessage(encodeFanOutMessage(message(1, 1, patch), 10_000).body)).toEqual(message(1, 1, patch))
    }
  })

  test('one over the limit goes without its patch, and says so', () => {
    const { attributes, body } = encodeFanOutMessage(message(1, 1, `["${'x'.repeat(1_000)}"]`), 500)
    expect(attributes['patch_omitted']).toBe('true')
    expect(body.byteLength).toBeLessThan(500)
    expect(decodeFanOutMessage(body)).toEqual({ ...message(1, 1), patch: undefined })
  })

  test('an attribute is cut where Pub/Sub would refuse it', () => {
    const { attributes } = encodeFanOutMessage({ ...message(1, 1), activeType: `x${'ä'.repeat(600)}` }, 10_000)
    expect(attributes['active_type']).toBe(`x${'ä'.repeat(511)}`)
  })

  test('anything else is none', () => {
    const good = text(encodeFanOutMessage(message(1, 1), 10_000).body)
    const wrong = ['', '[]', 'null', good.slice(0, -1), good.replace('"v":1', '"v":2'), good.replace('"ii":1', '"ii":-1'), good.replace('0000-4000', 'zzzz-4000'), good.replace('"domain":"a.example"', '"domain":1'), good.replace(/"patch":.*/, '"patch":{}}')]
    for (const each of wrong) expect(decodeFanOutMessage(Buffer.from(each))).toBeUndefined()
    expect(decodeFanOutMessage(Buffer.from([0xff, 0xfe]))).toBeUndefined()
    // The last of two counts, and the text is that of the one that counts.
    expect(decodeFanOutMessage(Buffer.from(`${good.slice(0, -1)},"patch":[]}`))?.patch).toBe('[]')
  })
})
