/**
 * One patch under way: ops change the document in place, and everything can be rolled back.
 *
 * Owns: the undo log, the members marked removed, the work done. Does not own: which ops, and when they end
 * (`apply.ts` keeps them, `lenient.ts` tries and rolls back).
 * I1  `step` may leave an op half done when it refuses: the caller then must roll back.
 * I2  A member that is removed stays as `undefined` until `commit`. So the roll back of a removal keeps the order of keys
 *     without the order being noted, which would cost the width of the object on every patch that removes. It follows
 *     that a key removed and added again by one patch keeps its place.
 * I3  The size is kept exact by counting what comes and what goes; what goes was paid for when it came.
 * I4  Whether a patch is refused depends on the values of document and patch only, and not on how the document came to be: a
 *     replica loaded from a snapshot must take what the leader took. So no refusal hangs on a bound or on a cache.
 */
import { unreachable } from '#shared/assert.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import { DEFAULT_ACTIVE_TYPE, type Document } from '#shared/patch/document.ts'
import { equalJson } from '#shared/patch/equal.ts'
import { memberCount, memberCountChanged } from '#shared/patch/members.ts'
import type { Op, Path, PathElement } from '#shared/patch/op.ts'
import { childOf, holderOf, indexOf, keyOf, nothingAt, Refused, startsWith } from '#shared/patch/path.ts'
import { jsonBytes, nesting, stringBytes } from '#shared/patch/size.ts'

/**
 * What one patch may do beyond what its length and the state's growth pay for, as bytes of JSON copied: a body of 1 MiB
 * has room for ten thousand copies of half the state over each other, or insertions before a million elements, which
 * would stop the process for minutes. This is about a second.
 */
const WORK_PER_PATCH = 4 * limits.stateBytes
/** A member walked over in a wide object costs about as much as these bytes copied. */
const WORK_PER_MEMBER = 8
/** An element moved aside in an array costs about this part of a byte copied. */
const SHIFTED_ELEMENTS_PER_WORK = 32

const NULL_BYTES = 4

type Undo =
  | { readonly kind: 'active'; readonly value: Json | undefined }
  | { readonly kind: 'active-type'; readonly value: string }
  | { readonly kind: 'name'; readonly value: string | null }
  | { readonly kind: 'member-new'; readonly object: JsonObject; readonly key: string }
  | { readonly kind: 'member-again'; readonly object: JsonObject; readonly key: string }
  | { readonly kind: 'member-removed'; readonly object: JsonObject; readonly key: string; readonly value: Json }
  | { readonly kind: 'member-replaced'; readonly object: JsonObject; readonly key: string; readonly value: Json }
  | { readonly kind: 'element-inserted'; readonly array: Json[]; readonly index: number }
  | { readonly kind: 'element-removed'; readonly array: Json[]; readonly index: number; readonly value: Json }
  | { readonly kind: 'element-replaced'; readonly array: Json[]; readonly index: number; readonly value: Json }

export interface Run {
  readonly document: Document
  readonly undo: Undo[]
  /** Members that stand as `undefined`, unless a later op set them again. */
  readonly removed: { readonly object: JsonObject; readonly key: string }[]
  readonly sizeBefore: number
  work: number
}

export function begin(document: Document): Run {
  return { document, undo: [], removed: [], sizeBefore: document.sizeBound, work: 0 }
}

export function commit(run: Run): void {
  for (const { object, key } of run.removed) if (object[key] === undefined) delete object[key]
}

export function rollBack(run: Run): void {
  for (let i = run.undo.length - 1; i >= 0; i--) undoOne(run.document, run.undo[i] as Undo)
  run.document.sizeBound = run.sizeBefore
}

function undoOne(document: Document, undo: Undo): void {
  switch (undo.kind) {
    case 'active':
      document.active = undo.value
      return
    case 'active-type':
      document.activeType = undo.value
      return
    case 'name':
      document.name = undo.value
      return
    case 'member-new':
      delete undo.object[undo.key]
      memberCountChanged(undo.object, -1)
      return
    case 'member-again':
      markRemoved(undo.object, undo.key)
      memberCountChanged(undo.object, -1)
      return
    case 'member-removed':
      undo.object[undo.key] = undo.value
      memberCountChanged(undo.object, 1)
      return
    case 'member-replaced':
      undo.object[undo.key] = undo.value
      return
    case 'element-inserted':
      undo.array.splice(undo.index, 1)
      return
    case 'element-removed':
      undo.array.splice(undo.index, 0, undo.value)
      return
    case 'element-replaced':
      undo.array[undo.index] = undo.value
      return
    default:
      unreachable(undo)
  }
}

export type Stop =
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'too-large'; readonly limitBytes: number }

/** Applies one op; undefined when it is done. After anything else the caller must roll back. */
export function step(run: Run, op: Op): Stop | undefined {
  const before = run.document.sizeBound
  const refused = execute(run, op)
  if (refused !== undefined) return { kind: 'refused', reason: refused.reason }
  if (run.work > WORK_PER_PATCH) return { kind: 'refused', reason: 'this is more work than one patch may make' }
  const after = run.document.sizeBound
  // A state stored under a higher limit may still be made smaller.
  if (after > limits.stateBytes && after > before) return { kind: 'too-large', limitBytes: limits.stateBytes }
  return undefined
}

function execute(run: Run, op: Op): Refused | undefined {
  switch (op.op) {
    case 'add':
    case 'replace': {
      const bytes = jsonBytes(op.value)
      run.document.sizeBound += bytes
      return isTooDeep(op.path, op.value, bytes) ? tooDeep() : put(run, op.path, op.value, op.op)
    }
    case 'remove': {
      const taken = take(run, op.path)
      if (taken instanceof Refused) return taken
      run.document.sizeBound -= jsonBytes(taken)
      return undefined
    }
    case 'move':
      return move(run, op.from, op.path)
    case 'copy':
      return copy(run, op.from, op.path)
    case 'test': {
      const value = read(run.document, op.path)
      if (value instanceof Refused) return value
      return equalJson(value, op.value) ? undefined : new Refused('the value is another one than tested for')
    }
    default:
      return unreachable(op)
  }
}

function move(run: Run, from: Path, path: Path): Refused | undefined {
  const { document } = run
  if (startsWith(path, from)) {
    if (path.length > from.length) return new Refused('a value cannot be moved into itself')
    const present = read(document, from)
    return present instanceof Refused ? inFrom(present) : undefined
  }
  const value = take(run, from)
  if (value instanceof Refused) return inFrom(value)
  if (path.length > from.length) {
    const meter = { walked: 0 }
    if (path.length - 1 + nesting(value, meter) > limits.nestingLevels) return tooDeep()
    run.work += meter.walked * WORK_PER_MEMBER
  }
  return put(run, path, value, 'add')
}

function copy(run: Run, from: Path, path: Path): Refused | undefined {
  const source = read(run.document, from)
  if (source instanceof Refused) return inFrom(source)
  const bytes = jsonBytes(source)
  run.work += bytes
  const value = copyJson(source, run)
  run.document.sizeBound += bytes
  return isTooDeep(path, value, bytes) ? tooDeep() : put(run, path, value, 'add')
}

/** The value at `path` as it reads. */
function read(document: Document, path: Path): Json | Refused {
  const root = rootOf(path)
  if (path.length > 1) {
    if (root !== 'active') return outside(root)
    const holder = holderOf(document.active ?? null, path)
    if (holder instanceof Refused) return holder
    const child = childOf(holder, path[path.length - 1] as PathElement)
    return child === undefined ? nothingAt(path.length - 1) : child
  }
  switch (root) {
    case 'active':
      return document.active ?? null
    case 'active_type':
      return document.activeType
    case 'name':
      return document.name
    case undefined:
      return outside(root)
    default:
      return unreachable(root)
  }
}

/** Takes the value at `path` out. Its own bytes still count, until the caller puts it elsewhere or subtracts them. */
function take(run: Run, path: Path): Json | Refused {
  const { document } = run
  const root = rootOf(path)
  if (path.length > 1) return root === 'active' ? takeInside(run, path) : outside(root)
  switch (root) {
    case 'active': {
      const value = document.active
      run.undo.push({ kind: 'active', value })
      document.active = undefined
      document.sizeBound += NULL_BYTES
      return value ?? null
    }
    case 'active_type': {
      const value = document.activeType
      run.undo.push({ kind: 'active-type', value })
      document.activeType = DEFAULT_ACTIVE_TYPE
      document.sizeBound += stringBytes(DEFAULT_ACTIVE_TYPE)
      return value
    }
    case 'name': {
      const value = document.name
      run.undo.push({ kind: 'name', value })
      document.name = null
      document.sizeBound += NULL_BYTES
      return value
    }
    case undefined:
      return outside(root)
    default:
      return unreachable(root)
  }
}

function takeInside(run: Run, path: Path): Json | Refused {
  const { document } = run
  const holder = holderOf(document.active ?? null, path)
  if (holder instanceof Refused) return holder
  const position = path.length - 1
  const element = path[position] as PathElement
  const value = childOf(holder, element)
  if (value === undefined) return nothingAt(position)
  if (Array.isArray(holder)) {
    const index = indexOf(element)
    if (holder.length > 1) document.sizeBound -= 1
    run.work += (holder.length - index) / SHIFTED_ELEMENTS_PER_WORK
    run.undo.push({ kind: 'element-removed', array: holder, index, value })
    if (index === holder.length - 1) holder.pop()
    else holder.splice(index, 1)
    return value
  }
  const key = keyOf(element) as string
  document.sizeBound -= stringBytes(key) + 1 + (memberCount(holder) > 1 ? 1 : 0)
  run.undo.push({ kind: 'member-removed', object: holder, key, value })
  run.removed.push({ object: holder, key })
  markRemoved(holder, key)
  memberCountChanged(holder, -1)
  return value
}

/** Puts `value`, whose bytes and nesting are counted already, at `path`. */
function put(run: Run, path: Path, value: Json, how: 'add' | 'replace'): Refused | undefined {
  const { document } = run
  const root = rootOf(path)
  if (path.length > 1) {
    if (root !== 'active') return outside(root)
    if (document.active === undefined) startFromEmpty(run)
    const holder = holderOf(document.active as Json, path)
    if (holder instanceof Refused) return holder
    return Array.isArray(holder) ? putElement(run, holder, path, value, how) : putMember(run, holder, path, value, how)
  }
  if (root === 'active') {
    document.sizeBound -= jsonBytes(document.active ?? null)
    run.undo.push({ kind: 'active', value: document.active })
    document.active = value
    return undefined
  }
  if (root === undefined) return outside(root)
  if (typeof value !== 'string') return new Refused(`${root} takes a string`)
  if (root === 'name') {
    document.sizeBound -= jsonBytes(document.name)
    run.undo.push({ kind: 'name', value: document.name })
    document.name = value
  } else {
    document.sizeBound -= stringBytes(document.activeType)
    run.undo.push({ kind: 'active-type', value: document.activeType })
    document.activeType = value
  }
  return undefined
}

/** "After active was removed ... the next patch into it starts from {}": the two bytes of {} for the four of null. */
function startFromEmpty(run: Run): void {
  const { document } = run
  run.undo.push({ kind: 'active', value: undefined })
  document.active = {}
  document.sizeBound += 2 - NULL_BYTES
}

function putElement(run: Run, array: Json[], path: Path, value: Json, how: 'add' | 'replace'): Refused | undefined {
  const position = path.length - 1
  const element = path[position] as PathElement
  const atEnd = how === 'add' && (element === '-' || element === -1)
  const index = atEnd ? array.length : indexOf(element)
  if (index < 0) return new Refused(`path[${position}] is no index of an array`)
  if (index > array.length || (index === array.length && how === 'replace')) {
    return new Refused(`path[${position}] is past the end of the array`)
  }
  const { document } = run
  if (how === 'replace') {
    const replaced = array[index] as Json
    document.sizeBound -= jsonBytes(replaced)
    run.undo.push({ kind: 'element-replaced', array, index, value: replaced })
    array[index] = value
    return undefined
  }
  if (array.length > 0) document.sizeBound += 1
  run.work += (array.length - index) / SHIFTED_ELEMENTS_PER_WORK
  run.undo.push({ kind: 'element-inserted', array, index })
  if (index === array.length) array.push(value)
  else array.splice(index, 0, value)
  return undefined
}

function putMember(run: Run, object: JsonObject, path: Path, value: Json, how: 'add' | 'replace'): Refused | undefined {
  const position = path.length - 1
  const key = keyOf(path[position] as PathElement)
  if (key === undefined) return new Refused(`path[${position}] is no key of an object`)
  const { document } = run
  const own = Object.hasOwn(object, key)
  const replaced = own ? object[key] : undefined
  if (replaced !== undefined) {
    document.sizeBound -= jsonBytes(replaced)
    run.undo.push({ kind: 'member-replaced', object, key, value: replaced })
    object[key] = value
    return undefined
  }
  if (how === 'replace') return nothingAt(position)
  document.sizeBound += stringBytes(key) + 1 + (memberCount(object) > 0 ? 1 : 0)
  run.undo.push({ kind: own ? 'member-again' : 'member-new', object, key })
  // V8's plain assignment never reuses the place of a deleted key in the table of a wide object: keys that come and go
  // make it slower with every turn (800 us in an object of 100,000). This way in reuses it, and costs 30 ns.
  Reflect.set(object, key, value)
  memberCountChanged(object, 1)
  return undefined
}

/** Whether `value`, of so many bytes of JSON, would be nested too deep at `path`. */
function isTooDeep(path: Path, value: Json, bytes: number): boolean {
  const above = path.length - 1
  // Each level takes two bytes, so a small value needs no walk.
  return above + bytes / 2 > limits.nestingLevels && above + nesting(value) > limits.nestingLevels
}

function tooDeep(): Refused {
  return new Refused(`this would be nested deeper than ${limits.nestingLevels} levels`)
}

type Root = 'active' | 'active_type' | 'name'

function rootOf(path: Path): Root | undefined {
  const root = path[0]
  return root === 'active' || root === 'active_type' || root === 'name' ? root : undefined
}

function outside(root: Root | undefined): Refused {
  if (root === undefined) return new Refused('a path starts with active, active_type or name')
  return new Refused(`${root} has no inside`)
}

/** Reasons name positions of `path`; these are of `from`. */
function inFrom(refused: Refused): Refused {
  return new Refused(refused.reason.replace('path[', 'from['))
}

/** Assigned, not deleted: see I2. No walk over the document takes an `undefined` member for a value. */
function markRemoved(object: { [key: string]: Json | undefined }, key: string): void {
  object[key] = undefined
}

/** The bytes are counted by the caller; members also by number, as those marked removed cost time as well. */
function copyJson(value: Json, run: Run): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => copyJson(item, run))
  const copied: JsonObject = {}
  for (const key in value) {
    run.work += WORK_PER_MEMBER
    const member = value[key]
    if (member !== undefined) copied[key] = copyJson(member, run)
  }
  return copied
}
