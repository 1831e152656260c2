/** All object names of cold storage, made and parsed here and nowhere else. */
import { assert } from '#shared/assert.ts'
import type { Cycle, Incarnation, InteractionIndex, Seq, Slot, StateId } from '#shared/ids.ts'

const pad = (n: number, digits: number): string => String(n).padStart(digits, '0')

const SEQ_DIGITS = 12
const CYCLE_DIGITS = 8
const SLOT_DIGITS = 4

/** A number of the log of the leader of a cycle. */
export type Place = { readonly cycle: Cycle; readonly seq: Seq }

/** Negative: `a` comes before `b`. */
export const comparePlaces = (a: Place, b: Place): number => a.cycle - b.cycle || a.seq - b.seq

export const logPrefix = (incarnation: Incarnation): string => `leaders/${incarnation}/`
/** A bundle or a seal. */
export const logObjectName = (incarnation: Incarnation, seq: Seq): string => `leaders/${incarnation}/${pad(seq, SEQ_DIGITS)}`
export const endName = (incarnation: Incarnation): string => `leaders/${incarnation}/end`
export const segmentPrefix = (incarnation: Incarnation): string => `leaders/${incarnation}/segments/`
export const segmentName = (incarnation: Incarnation, from: Seq, to: Seq): string =>
  `${segmentPrefix(incarnation)}${pad(from, SEQ_DIGITS)}-${pad(to, SEQ_DIGITS)}`
export const slotPrefix = (slot: Slot): string => `slots/${pad(slot, SLOT_DIGITS)}/`
export const epochName = (slot: Slot, cycle: Cycle): string => `${slotPrefix(slot)}${pad(cycle, CYCLE_DIGITS)}`
/** `published`: up to where the slot is surely published, where that is not as far. Cycle 0: nothing is. */
export const checkpointName = (slot: Slot, { cycle, seq }: Place, published: Place | undefined): string =>
  `${slotPrefix(slot)}checkpoints/${place(cycle, seq)}${published === undefined ? '' : `-${place(published.cycle, published.seq)}`}`
const place = (cycle: Cycle, seq: Seq): string => `${pad(cycle, CYCLE_DIGITS)}-${pad(seq, SEQ_DIGITS)}`
export const idPrefix = (id: StateId): string => `ids/${id}/`
export const idFileName = (id: StateId, ii: InteractionIndex): string => `${idPrefix(id)}${pad(ii, SEQ_DIGITS)}`

/** An operator's word that interactions of `id` behind a gap, in cycles up to `cycle`, count for nobody. */
export const repairName = (id: StateId, cycle: Cycle): string => `${repairPrefix(id)}${pad(cycle, CYCLE_DIGITS)}`
export const repairPrefix = (id: StateId): string => `repairs/${id}/`

/** The cycle of a repair listed below `repairPrefix`. */
export function parseRepairName(id: StateId, name: string): Cycle {
  const rest = name.slice(repairPrefix(id).length)
  assert(/^\d{8}$/.test(rest), `an object that no version of this protocol writes: ${name}`)
  return Number(rest) as Cycle
}

export type LogName = { kind: 'object'; seq: Seq } | { kind: 'segment'; from: Seq; to: Seq } | { kind: 'end' }

/** What `name`, listed below `logPrefix`, is. */
export function parseLogName(incarnation: Incarnation, name: string): LogName {
  const rest = name.slice(logPrefix(incarnation).length)
  if (rest === 'end') return { kind: 'end' }
  const object = /^(\d{12})$/.exec(rest)
  if (object) return { kind: 'object', seq: Number(object[1]) as Seq }
  const segment = /^segments\/(\d{12})-(\d{12})$/.exec(rest)
  assert(segment, `an object that no version of this protocol writes: ${name}`)
  return { kind: 'segment', from: Number(segment[1]) as Seq, to: Number(segment[2]) as Seq }
}

/** How far ID files cover a slot, and up to where it is surely published: no further. */
export type SlotCheckpoint = Place & { readonly published: Place }

/** The greatest counts; of two as far, the one that more is published by. */
export const compareCheckpoints = (a: SlotCheckpoint, b: SlotCheckpoint): number => comparePlaces(a, b) || comparePlaces(a.published, b.published)

export type SlotName = { kind: 'epoch'; cycle: Cycle } | { kind: 'checkpoint'; checkpoint: SlotCheckpoint }

/** What `name`, listed below `slotPrefix`, is. */
export function parseSlotName(slot: Slot, name: string): SlotName {
  const rest = name.slice(slotPrefix(slot).length)
  const epoch = /^(\d{8})$/.exec(rest)
  if (epoch) return { kind: 'epoch', cycle: Number(epoch[1]) as Cycle }
  const checkpoint = /^checkpoints\/(\d{8})-(\d{12})(?:-(\d{8})-(\d{12}))?$/.exec(rest)
  assert(checkpoint, `an object that no version of this protocol writes: ${name}`)
  const covered: Place = { cycle: Number(checkpoint[1]) as Cycle, seq: Number(checkpoint[2]) as Seq }
  const published = checkpoint[3] === undefined ? covered : { cycle: Number(checkpoint[3]) as Cycle, seq: Number(checkpoint[4]) as Seq }
  return { kind: 'checkpoint', checkpoint: { ...covered, published } }
}

/** The `ii` of an ID file listed below `idPrefix`. */
export function parseIdFileName(id: StateId, name: string): InteractionIndex {
  const rest = name.slice(idPrefix(id).length)
  assert(/^\d{12}$/.test(rest), `an object that no version of this protocol writes: ${name}`)
  return Number(rest) as InteractionIndex
}
