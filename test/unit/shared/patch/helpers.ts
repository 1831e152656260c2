import type { Json } from '#shared/json.ts'
import { apply, type Outcome } from '#shared/patch/apply.ts'
import { type Document, documentOf } from '#shared/patch/document.ts'
import type { Op } from '#shared/patch/op.ts'
import { parsePatch } from '#shared/patch/parse.ts'

/** By way of text, so that nothing is shared. */
export function documentWith(active: Json | undefined): Document {
  return documentOf({ active: active === undefined ? undefined : (JSON.parse(JSON.stringify(active)) as Json), activeType: 'application/json', name: null })
}

/** Everything of a document as text: order of keys, removed or null, the size, and members that are `undefined`. */
export function picture(document: Document): string {
  return JSON.stringify(document, (_key, value: unknown) => (value === undefined ? '<undefined>' : value))
}

/** The same without the size. */
export function valuesPicture(document: Pick<Document, 'active' | 'activeType' | 'name'>): string {
  const { active, activeType, name } = document
  return JSON.stringify({ active, activeType, name }, (_key, value: unknown) => (value === undefined ? '<undefined>' : value))
}

/** By way of JSON text and the gateway, as any patch comes. */
export function patch(document: Document, ops: unknown): Outcome {
  return apply(document, parsed(ops))
}

export function parsed(ops: unknown): Op[] {
  const { ops: result, fault } = parsePatch(JSON.parse(JSON.stringify(ops)))
  if (result === undefined) throw new Error(`${fault.place} ${fault.message}`)
  return result
}

export function nested(levels: number): Json {
  let value: Json = 1
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

export function bytesOf(document: Document): number {
  const parts = [document.active ?? null, document.activeType, document.name]
  return parts.reduce<number>((sum, part) => sum + Buffer.byteLength(JSON.stringify(part)), 0)
}

/** Arrays and objects that are reachable by more than one path. */
export function aliases(value: Json | undefined): number {
  const seen = new Set<object>()
  let twice = 0
  const walk = (inside: Json | undefined): void => {
    if (typeof inside !== 'object' || inside === null) return
    if (seen.has(inside)) twice++
    seen.add(inside)
    for (const member of Object.values(inside)) walk(member)
  }
  walk(value)
  return twice
}
