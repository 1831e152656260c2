/**
 * From parsed JSON that nobody vouches for to ops that `apply` trusts. What a path leads to is `apply`'s to judge: a
 * fault here means that no document could take the patch (HTTP 400), a refusal there that this one cannot (422).
 *
 * The value must come from JSON.parse; it is given up, values and paths of the ops are parts of it. `JSON.stringify(ops)` is
 * the patch's canonical text: array paths, members in one order, none that the RFC does not know.
 */
import type { Json } from '#shared/json.ts'
import { limits } from '#shared/limits.ts'
import type { Op, Path } from '#shared/patch/op.ts'

/** `place` is a position like `patch[2].path[1]`, `message` says what should be there. */
export interface Fault {
  readonly place: string
  readonly message: string
}
export type Parsed = { readonly ops: Op[]; readonly fault?: never } | { readonly ops?: never; readonly fault: Fault }

interface Form {
  /** Name of the place of the list itself. */
  readonly place: string
  readonly paths: 'arrays' | 'pointers'
  readonly emptyPatch: 'allowed' | 'fault'
  readonly unknownMembers: 'dropped' | 'fault'
  /** `add` and `replace` without a value. */
  readonly missingValue: 'null' | 'fault'
}

const ARRAYS: Form = {
  place: 'patch',
  paths: 'arrays',
  emptyPatch: 'fault',
  unknownMembers: 'fault',
  missingValue: 'fault',
}
const POINTERS: Form = { ...ARRAYS, place: '', paths: 'pointers', emptyPatch: 'allowed', unknownMembers: 'dropped' }
const LENIENT: Form = { ...ARRAYS, emptyPatch: 'allowed', unknownMembers: 'dropped', missingValue: 'null' }

/** The `patch` member of a REST body. */
export function parsePatch(value: unknown): Parsed {
  return parse(value, ARRAYS)
}

/** A whole body of type application/json-patch+json. */
export function parseJsonPatch(value: unknown): Parsed {
  return parse(value, POINTERS)
}

/**
 * The `patch` of a published agent. Its clients send an empty one when they sort an empty array, and an `add` without
 * value when they create a state without `active`.
 */
export function parseLenientPatch(value: unknown): Parsed {
  return parse(value, LENIENT)
}

/** A fault on its way up: `inside` is the place below the one where the caller is. */
class Misfit {
  readonly inside: string
  readonly message: string
  constructor(inside: string, message: string) {
    this.inside = inside
    this.message = message
  }
}

function parse(value: unknown, form: Form): Parsed {
  if (!Array.isArray(value)) return { fault: { place: form.place, message: 'must be an array of operations' } }
  if (value.length === 0 && form.emptyPatch === 'fault') {
    return { fault: { place: form.place, message: 'must hold at least one operation' } }
  }
  const ops: Op[] = []
  for (let i = 0; i < value.length; i++) {
    const op = parseOp(value[i], form)
    if (op instanceof Misfit) return { fault: { place: `${form.place}[${i}]${op.inside}`, message: op.message } }
    ops.push(op)
  }
  return { ops }
}

function parseOp(raw: unknown, form: Form): Op | Misfit {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return new Misfit('', 'must be an object')
  const members = raw as Record<string, unknown>
  const op = members['op']
  switch (op) {
    case 'add':
    case 'replace':
    case 'test': {
      const path = parsePath(members['path'], op, form)
      if (path instanceof Misfit) return within('.path', path)
      let value = members['value']
      if (value === undefined) {
        if (form.missingValue === 'fault' || op === 'test') return new Misfit('', `${op} must have a value`)
        value = null
      }
      const misfit = checkValue(value, limits.nestingLevels)
      if (misfit !== undefined) return within('.value', misfit)
      return checkMembers(members, 'value', form) ?? { op, path, value: value as Json }
    }
    case 'remove': {
      const path = parsePath(members['path'], op, form)
      if (path instanceof Misfit) return within('.path', path)
      return checkMembers(members, 'path', form) ?? { op, path }
    }
    case 'move':
    case 'copy': {
      const from = parsePath(members['from'], op, form)
      if (from instanceof Misfit) return within('.from', from)
      const path = parsePath(members['path'], op, form)
      if (path instanceof Misfit) return within('.path', path)
      return checkMembers(members, 'from', form) ?? { op, from, path }
    }
    default:
      return new Misfit('.op', 'must be add, remove, replace, move, copy or test')
  }
}

/** Members but `op`, `path` and `third`. Those that are dropped must be free of forbidden keys as well. */
function checkMembers(members: Record<string, unknown>, third: 'value' | 'path' | 'from', form: Form): Misfit | undefined {
  for (const key in members) {
    if (key === 'op' || key === 'path' || key === third) continue
    if (key === '__proto__') return new Misfit('', 'must not have the key __proto__')
    if (form.unknownMembers === 'fault') return new Misfit(`.${shown(key)}`, 'is not a member of this operation')
    const misfit = checkValue(members[key], limits.nestingLevels)
    if (misfit !== undefined) return within(`.${shown(key)}`, misfit)
  }
  return undefined
}

function parsePath(raw: unknown, op: Op['op'], form: Form): Path | Misfit {
  return form.paths === 'arrays' ? checkPath(raw, op) : parsePointer(raw)
}

function checkPath(raw: unknown, op: Op['op']): Path | Misfit {
  if (!Array.isArray(raw)) return new Misfit('', 'must be an array of strings and integers')
  for (let i = 0; i < raw.length; i++) {
    const element: unknown = raw[i]
    if (typeof element === 'string') {
      if (isForbidden(element)) return new Misfit(`[${i}]`, `must not be ${element}`)
    } else if (typeof element !== 'number' || !Number.isInteger(element)) {
      return new Misfit(`[${i}]`, 'must be a string or an integer')
    } else if (element < 0 && !(element === -1 && op === 'add' && i === raw.length - 1)) {
      return new Misfit(`[${i}]`, 'must not be negative: only -1, at the end of the path of an add')
    }
  }
  return raw as Path
}

function parsePointer(raw: unknown): Path | Misfit {
  if (typeof raw !== 'string') return new Misfit('', 'must be a JSON pointer')
  if (raw === '') return []
  if (raw.charCodeAt(0) !== SLASH) return new Misfit('', 'must start with /')
  const escaped = raw.includes('~')
  const elements = raw.slice(1).split('/')
  for (let i = 0; i < elements.length; i++) {
    let element = elements[i] as string
    if (escaped) {
      if (!hasSoundEscapes(element)) return new Misfit('', 'must have only ~0 and ~1 as escapes')
      // In this order, as "~01" means "~1" (RFC 6901 section 4).
      element = element.replaceAll('~1', '/').replaceAll('~0', '~')
      elements[i] = element
    }
    if (isForbidden(element)) return new Misfit('', `must not have ${element} as an element`)
  }
  return elements
}

const SLASH = 0x2f

function hasSoundEscapes(element: string): boolean {
  for (let at = element.indexOf('~'); at >= 0; at = element.indexOf('~', at + 1)) {
    const next = element[at + 1]
    if (next !== '0' && next !== '1') return false
  }
  return true
}

function isForbidden(element: string): boolean {
  return element === '__proto__' || element === 'constructor' || element === 'prototype'
}

/**
 * Whether a value can be part of a document: no key `__proto__`, at most `levels` deep, nothing but JSON (1e400 parses to
 * Infinity, which has no JSON text). Recursive, but no deeper than `levels`.
 */
function checkValue(value: unknown, levels: number): Misfit | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : new Misfit('', 'must be a number of JSON')
  if (typeof value !== 'object') return new Misfit('', 'must be JSON')
  if (levels === 0) return new Misfit('', `must be nested at most ${limits.nestingLevels} levels deep`)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const misfit = checkValue(value[i], levels - 1)
      if (misfit !== undefined) return within(`[${i}]`, misfit)
    }
    return undefined
  }
  const members = value as Record<string, unknown>
  for (const key in members) {
    if (key === '__proto__') return new Misfit('', 'must not have the key __proto__')
    const misfit = checkValue(members[key], levels - 1)
    if (misfit !== undefined) return within(`.${shown(key)}`, misfit)
  }
  return undefined
}

const PLACE_CHARACTERS = 200
const KEY_CHARACTERS = 40

/** The same misfit, seen from one level up. A long place keeps its outer part. */
function within(place: string, misfit: Misfit): Misfit {
  const inside = place + misfit.inside
  return new Misfit(inside.length > PLACE_CHARACTERS ? `${inside.slice(0, PLACE_CHARACTERS)}...` : inside, misfit.message)
}

function shown(key: string): string {
  return key.length > KEY_CHARACTERS ? `${key.slice(0, KEY_CHARACTERS)}...` : key
}
