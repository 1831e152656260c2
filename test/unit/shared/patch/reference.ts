/**
 * Slow and plain models of what the patch code promises: they clone everything, know no limits, no undo and no sizes.
 * They share no code with it, so that both would have to be wrong in the same way.
 */
import type { Json, JsonObject } from '#shared/json.ts'
import type { Op, Path, PathElement } from '#shared/patch/op.ts'

export interface Values {
  active: Json | undefined
  activeType: string
  name: string | null
}

class Refusal extends Error {}

/** The values after a strict patch, or undefined when it is refused. */
export function strictReference(before: Values, ops: readonly Op[]): Values | undefined {
  try {
    return ops.reduce<Values>((values, op) => strictOp(values, structuredClone(op)), structuredClone(before))
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

function strictOp(values: Values, op: Op): Values {
  switch (op.op) {
    case 'add':
      return set(values, op.path, op.value, false)
    case 'replace':
      return set(values, op.path, op.value, true)
    case 'remove':
      return unset(values, op.path)
    case 'copy':
      return set(values, op.path, structuredClone(get(values, op.from)), false)
    case 'move': {
      const moved = get(values, op.from)
      const from = op.from.map(String)
      const path = op.path.map(String)
      const inside = from.every((element, i) => path[i] === element)
      if (inside && path.length > from.length) throw new Refusal()
      return inside ? values : set(unset(values, op.from), op.path, moved, false)
    }
    case 'test':
      if (sorted(get(values, op.path)) !== sorted(op.value)) throw new Refusal()
      return values
  }
}

/** JSON text with sorted keys: the equality of RFC 6902. */
export function sorted(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${sorted(value[key] as Json)}`).join()}}`
}

function get(values: Values, path: Path): Json {
  if (path[0] === 'name' && path.length === 1) return values.name
  if (path[0] === 'active_type' && path.length === 1) return values.activeType
  if (path[0] !== 'active') throw new Refusal()
  return path.slice(1).reduce<Json>(child, values.active ?? null)
}

function child(value: Json, element: PathElement): Json {
  if (Array.isArray(value)) return value[index(element, value.length - 1)] as Json
  if (value === null || typeof value !== 'object') throw new Refusal()
  const entry = Object.entries(value).find(([key]) => key === String(element))
  if (entry === undefined) throw new Refusal()
  return entry[1]
}

function index(element: PathElement, last: number): number {
  const text = String(element)
  if (!/^(0|[1-9][0-9]*)$/.test(text) || Number(text) > last) throw new Refusal()
  return Number(text)
}

function set(values: Values, path: Path, value: Json, mustExist: boolean): Values {
  if (path.length === 1) {
    if (path[0] === 'active') return { ...values, active: value }
    if (typeof value !== 'string') throw new Refusal()
    if (path[0] === 'active_type') return { ...values, activeType: value }
    if (path[0] === 'name') return { ...values, name: value }
  }
  if (path[0] !== 'active') throw new Refusal()
  const active = values.active === undefined ? {} : values.active
  const parent = path.slice(1, -1).reduce<Json>(child, active)
  const last = path[path.length - 1] as PathElement
  if (parent === null || typeof parent !== 'object') throw new Refusal()
  if (!Array.isArray(parent)) {
    if (last === -1) throw new Refusal()
    if (mustExist) child(parent, last)
    parent[String(last)] = value
  } else if (mustExist) parent[index(last, parent.length - 1)] = value
  else if (last === '-' || last === -1) parent.push(value)
  else parent.splice(index(last, parent.length), 0, value)
  return { ...values, active }
}

function unset(values: Values, path: Path): Values {
  get(values, path)
  if (path.length === 1) {
    if (path[0] === 'active') return { ...values, active: undefined }
    return path[0] === 'name' ? { ...values, name: null } : { ...values, activeType: 'application/json' }
  }
  const parent = get(values, path.slice(0, -1))
  const last = path[path.length - 1] as PathElement
  if (Array.isArray(parent)) parent.splice(Number(last), 1)
  else delete (parent as JsonObject)[String(last)]
  return values
}

/** What published clients send: neither `test` nor `copy`. */
export type SentOp =
  | { readonly op: 'add' | 'replace'; readonly path: Path; readonly value: Json }
  | { readonly op: 'remove'; readonly path: Path }
  | { readonly op: 'move'; readonly from: Path; readonly path: Path }

/** The values after a message in lenient form (agent-protocol.md, section 6), or undefined when it fails. */
export function lenientReference(before: Values, ops: readonly SentOp[]): Values | undefined {
  const values = structuredClone(before)
  for (const op of structuredClone(ops)) {
    const root = String(op.path[0])
    if (!['active', 'active_type', 'name'].includes(root)) return undefined
    const last = op.path[op.path.length - 1] as PathElement
    if (op.path.length === 1 && op.op !== 'move') {
      if (op.op === 'remove') {
        if (root === 'active') values.active = undefined
        else if (root === 'name') values.name = null
        else values.activeType = 'application/json'
      } else if (root === 'active') values.active = op.value
      else if (typeof op.value !== 'string') return undefined
      else if (root === 'name') values.name = op.value
      else values.activeType = op.value
      continue
    }
    const active = values.active ?? {}
    const parent = op.path.length < 2 ? undefined : typedParent(active, op.path)
    if (op.op === 'remove') {
      const targets = [op.path]
      for (let i = 1; op.path[i] === 'active'; i++) targets.push(op.path.slice(i))
      targets.some((path, i) => {
        const holder = typedParent(active, path)
        if (Array.isArray(holder)) return typeof last === 'number' && holder.splice(last, 1).length === 1
        if (holder === undefined || i > 0 || typeof last !== 'string' || !Object.hasOwn(holder, last)) return false
        return delete holder[last]
      })
      continue
    }
    if (parent === undefined || (typeof last === 'number') !== Array.isArray(parent)) continue
    if (!Array.isArray(parent)) {
      if (op.op === 'move') continue
      parent[String(last)] = op.value
      values.active = active
      continue
    }
    const at = last as number
    if (op.op === 'move') {
      const source = op.from[op.from.length - 1]
      if (typeof source !== 'number') continue
      if (source >= parent.length || at >= parent.length) return undefined
      parent.splice(at, 0, ...parent.splice(source, 1))
    } else {
      if (at > parent.length) return undefined
      if (op.op === 'replace') parent[at] = op.value
      else if (at === -1) parent.push(op.value)
      else parent.splice(at, 0, op.value)
    }
  }
  return values
}

function typedParent(active: Json, path: Path): Json[] | JsonObject | undefined {
  if (path[0] !== 'active') return undefined
  let value: Json | undefined = active
  for (const element of path.slice(1, -1)) {
    if (Array.isArray(value)) value = typeof element === 'number' ? value[element] : undefined
    else if (typeof value === 'object' && value !== null) value = typeof element === 'string' && Object.hasOwn(value, element) ? value[element] : undefined
    else return undefined
  }
  return typeof value === 'object' && value !== null ? value : undefined
}
