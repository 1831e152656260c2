import { describe, expect, test } from '@jest/globals'
import { encodeFanOutMessage } from '#shared/records/fan-out-message.ts'
import type { MirrorEvent } from '#functions/mirror/event.ts'
import { mirrorTarget } from '#functions/mirror/handler.ts'
import { message } from '../../../contract/fan-out-contract.ts'

function fixture(mirrorOne: (event: MirrorEvent) => Promise<void>): { readonly handle: ReturnType<typeof mirrorTarget>; readonly errors: string[] } {
  const errors: string[] = []
  const log = { info: () => undefined, warn: () => undefined, error: (_: object, what: string) => void errors.push(what), fatal: () => undefined }
  return { handle: mirrorTarget({ mirrorOne, log }), errors }
}

const eventOf = (body: Uint8Array): { id: string; data: unknown } => ({ id: '1', data: { message: { data: Buffer.from(body).toString('base64') }, subscription: 's' } })

describe('mirror function', () => {
  test('a message of the fan-out is mirrored, by its domain, id and index', async () => {
    const mirrored: MirrorEvent[] = []
    const { handle } = fixture((event) => Promise.resolve(void mirrored.push(event)))
    const { body } = encodeFanOutMessage(message(1, 3), 10_000)
    await handle(eventOf(body))
    // Without its patch as well: the state is read, not the patch.
    await handle(eventOf(encodeFanOutMessage(message(2, 4), 10).body))
    expect(mirrored).toEqual([message(1, 3), message(2, 4)].map(({ domain, id, ii }) => ({ domain, id, ii })))
  })

  test('what cannot be mirrored now throws, so that the message comes back', async () => {
    const { handle } = fixture(() => Promise.reject(new Error('no database')))
    await expect(handle(eventOf(encodeFanOutMessage(message(1, 1), 10_000).body))).rejects.toThrow('no database')
  })

  test('what is no message is reported and taken', async () => {
    const { handle, errors } = fixture(() => Promise.reject(new Error('not to be called')))
    for (const data of [undefined, null, 'x', {}, { message: {} }, { message: { data: 7 } }, { message: { data: '!!!' } }]) await handle({ id: 'x', data })
    expect(errors).toHaveLength(7)
  })
})
