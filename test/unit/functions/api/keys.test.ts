import { expect, test } from '@jest/globals'
import { bodyDigest, clientKey, mintKey } from '#functions/api/keys.ts'
import type { Op } from '#shared/patch/op.ts'

const ops = (json: string) => JSON.parse(json) as Op[]

test('keys are 16 bytes; minted ones are never the same', () => {
  const keys = Array.from({ length: 70_000 }, () => mintKey())
  expect(new Set(keys).size).toBe(keys.length)
  for (const key of [...keys.slice(0, 3), keys.at(-1)!, clientKey('a'), bodyDigest({ ops: [], ii: undefined, returnState: false, lenient: false })]) {
    expect(Buffer.from(key, 'latin1')).toHaveLength(16)
    expect(Buffer.from(key, 'latin1').toString('latin1')).toBe(key)
  }
})

test('golden: digests are stored with the state', () => {
  expect(Buffer.from(clientKey('a'), 'latin1').toString('hex')).toBe('ca978112ca1bbdcafac231b39a23dc4d')
})

test('a body is the same whatever the order of members, and another with another value', () => {
  const of = (json: string, more: object = {}) => bodyDigest({ ops: ops(json), ii: undefined, returnState: false, lenient: false, ...more })
  const base = of('[{"op":"add","path":["active"],"value":{"a":1,"b":[1,{"c":2,"d":3}]}}]')
  expect(of('[{"value":{"b":[1,{"d":3,"c":2}],"a":1},"path":["active"],"op":"add"}]')).toBe(base)
  const others = [
    of('[{"op":"add","path":["active"],"value":{"a":1,"b":[{"c":2,"d":3},1]}}]'),
    of('[{"op":"replace","path":["active"],"value":{"a":1,"b":[1,{"c":2,"d":3}]}}]'),
    of('[{"op":"add","path":["active"],"value":{"a":1,"b":[1,{"c":2,"d":3}]}}]', { ii: 1 }),
    of('[{"op":"add","path":["active"],"value":{"a":1,"b":[1,{"c":2,"d":3}]}}]', { returnState: true }),
    of('[{"op":"add","path":["active"],"value":{"a":1,"b":[1,{"c":2,"d":3}]}}]', { lenient: true }),
  ]
  expect(new Set([base, ...others]).size).toBe(6)
})
