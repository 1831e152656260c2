/**
 * Golden bytes of every record, made by an implementation of its own (Python, from SPEC.md), and their values. What
 * is stored stays readable: a test that no longer agrees with these bytes needs a new record version.
 */
import type { Cycle, Incarnation, InteractionIndex, Seq, Slot, StateId } from '#shared/ids.ts'
import type { BundleHeader, LogEntry } from '#shared/records/bundle.ts'
import type { IdFileHeader } from '#shared/records/id-file.ts'

export const INCARNATION = '5f0c3f6e-0000-4000-8000-00000000000a' as Incarnation
export const OTHER = 'other' as Incarnation
export const X = '11111111-1111-4111-8111-111111111111' as StateId
export const Y = '22222222-2222-4222-8222-222222222222' as StateId
export const seq = (n: number): Seq => n as Seq
export const ii = (n: number): InteractionIndex => n as InteractionIndex

const KEY = String.fromCharCode(...Array.from({ length: 16 }, (_, at) => at))
const DIGEST = String.fromCharCode(...Array.from({ length: 16 }, (_, at) => 240 + at))

export const ENTRIES: readonly LogEntry[] = [
  {
    id: X,
    cycle: 3 as Cycle,
    ii: ii(1),
    ts: 1700000000000,
    user: 'alice',
    key: KEY,
    bodyDigest: DIGEST,
    creation: { domain: 'localhost', owner: 'alice', name: null, reserved: false },
    patch: '[{"op":"add","path":["active","größe"],"value":1}]',
  },
  { id: X, cycle: 3 as Cycle, ii: ii(2), ts: 1700000000001, user: 'a\tb', key: KEY, bodyDigest: '', creation: undefined, patch: '[{"op":"remove","path":["active","größe"]}]' },
  {
    id: Y,
    cycle: 4 as Cycle,
    ii: ii(0),
    ts: 1700000000002,
    user: 'bob',
    key: '',
    bodyDigest: '',
    creation: { domain: 'd.example.com', owner: 'bob', name: 'Liste', reserved: true },
    patch: '[]',
  },
]

const LINES = [
  `["${X}",3,1,1700000000000,"alice","AAECAwQFBgcICQoLDA0ODw==","8PHy8/T19vf4+fr7/P3+/w==",{"domain":"localhost","owner":"alice","name":null,"reserved":false}]\t[{"op":"add","path":["active","größe"],"value":1}]\n`,
  `["${X}",3,2,1700000000001,"a\\tb","AAECAwQFBgcICQoLDA0ODw==",""]\t[{"op":"remove","path":["active","größe"]}]\n`,
  `["${Y}",4,0,1700000000002,"bob","","",{"domain":"d.example.com","owner":"bob","name":"Liste","reserved":true}]\t[]\n`,
]
export const BUNDLE_HEADER: BundleHeader = { incarnation: INCARNATION, seq: seq(7), low: seq(5) }
export const GOLDEN_LINES: readonly string[] = LINES
export const GOLDEN_BUNDLE = Buffer.from(`bundle/1 ddb7be54 601\n{"incarnation":"${INCARNATION}","seq":7,"low":5}\n${LINES.join('')}`)
export const GOLDEN_BUNDLE_8 = Buffer.from(`bundle/1 f2e7ba5c 213\n{"incarnation":"${INCARNATION}","seq":8,"low":5}\n${LINES[1]}`)
export const GOLDEN_SEGMENT = Buffer.concat([Buffer.from(`segment/1 4cd52e20 929\n{"incarnation":"${INCARNATION}","from":7,"to":8}\n`), GOLDEN_BUNDLE, GOLDEN_BUNDLE_8])

export const SEAL = { kind: 'seal', incarnation: INCARNATION, seq: seq(9), by: OTHER, waited: false, low: undefined } as const
export const OWN_SEAL = { kind: 'seal', incarnation: INCARNATION, seq: seq(9), by: INCARNATION, waited: true, low: seq(9) } as const
export const END = { kind: 'end', incarnation: INCARNATION, seal: seq(9) } as const
export const FIRST_EPOCH = { kind: 'epoch', slot: 911 as Slot, cycle: 1 as Cycle, leader: INCARNATION, name: 'state-process-0', first: seq(1), predecessor: null } as const
export const EPOCH = { kind: 'epoch', slot: 911 as Slot, cycle: 2 as Cycle, leader: OTHER, name: 'state-process-0', first: seq(1), predecessor: { incarnation: INCARNATION, last: seq(8) } } as const
export const CHECKPOINT = { kind: 'checkpoint', slot: 911 as Slot, cycle: 2 as Cycle, seq: seq(40) } as const
export const CHECKPOINT_BEHIND = { ...CHECKPOINT, published: { cycle: 1 as Cycle, seq: seq(7) } } as const

export const GOLDEN_SEAL = Buffer.from(`seal/1 aa0dd2bb 104\n{"kind":"seal","incarnation":"${INCARNATION}","seq":9,"by":"other","waited":false}`)
export const GOLDEN_OWN_SEAL = Buffer.from(`seal/1 37a6a906 142\n{"kind":"seal","incarnation":"${INCARNATION}","seq":9,"by":"${INCARNATION}","waited":true,"low":9}`)
export const GOLDEN_END = Buffer.from(`end/1 ddd446e4 76\n{"kind":"end","incarnation":"${INCARNATION}","seal":9}`)
export const GOLDEN_FIRST_EPOCH = Buffer.from(`epoch/1 5004b8b1 139\n{"kind":"epoch","slot":911,"cycle":1,"leader":"${INCARNATION}","name":"state-process-0","first":1,"predecessor":null}`)
export const GOLDEN_EPOCH = Buffer.from(`epoch/1 1508e5f0 167\n{"kind":"epoch","slot":911,"cycle":2,"leader":"other","name":"state-process-0","first":1,"predecessor":{"incarnation":"${INCARNATION}","last":8}}`)
export const GOLDEN_CHECKPOINT = Buffer.from('checkpoint/1 41ce4bf0 51\n{"kind":"checkpoint","slot":911,"cycle":2,"seq":40}')
export const GOLDEN_CHECKPOINT_BEHIND = Buffer.from('checkpoint/2 3812fffc 83\n{"kind":"checkpoint","slot":911,"cycle":2,"seq":40,"published":{"cycle":1,"seq":7}}')

export const ID_HEADER: IdFileHeader = {
  id: X,
  ii: ii(2),
  from: ii(1),
  domain: 'localhost',
  owner: 'alice',
  name: 'Liste',
  initialName: null,
  reserved: false,
  activeType: 'application/json',
  removed: false,
  created: 1700000000000,
  updated: 1700000000001,
}
export const ID_ACTIVE = '{"größe":1}'
export const ID_WINDOW = Buffer.from('000102030405060708090a0b0c0d0e0ff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000000000000004000108056febc7842', 'hex')
export const ID_HISTORY = [
  { ii: ii(1), ts: 1700000000000, user: 'alice', patch: '[]' },
  { ii: ii(2), ts: 1700000000001, user: 'bob', patch: '[{"op":"test","path":["name"],"value":null}]' },
]
const ID_HEAD = `id/1 5674f427 379\n{"id":"${X}","ii":2,"from":1,"domain":"localhost","owner":"alice","name":"Liste","initialName":null,"reserved":false,"activeType":"application/json","removed":false,"created":1700000000000,"updated":1700000000001,"sections":{"active":{"length":13,"crc":2734514952},"window":{"length":48,"crc":2889146582},"history":{"length":98,"crc":1461831941}}}`
/** Length of what a state is opened with: head, `active`, window. */
export const ID_BASE_BYTES = ID_HEAD.length + 13 + 48
export const GOLDEN_ID_FILE = Buffer.concat([
  Buffer.from(`${ID_HEAD}${ID_ACTIVE}`),
  ID_WINDOW,
  Buffer.from('[1,1700000000000,"alice"]\t[]\n[2,1700000000001,"bob"]\t[{"op":"test","path":["name"],"value":null}]\n'),
])
