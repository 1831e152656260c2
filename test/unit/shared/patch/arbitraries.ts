import fc from 'fast-check'
import type { Json } from '#shared/json.ts'
import type { Op, Path, PathElement } from '#shared/patch/op.ts'

/** Few keys, so that paths meet; among them digits, names of Object.prototype and of arrays, and what JSON escapes. */
export const key = fc.constantFrom('a', 'b', 'c', 'active', '0', '1', '01', '-', '', 'length', 'toString', 'hasOwnProperty', 'q"\\\n\u0001', 'é', '\u2028', '\ud800', '😀')

const scalar: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, 0, 1, -1, 10, 999, 1000, 1e21, 1.5, -0.25, 1e-7),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
  fc.integer(),
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.string({ maxLength: 8 }),
)

export const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value

export const active: fc.Arbitrary<Json | undefined> = fc.oneof(
  { weight: 8, arbitrary: fc.dictionary(key, json, { maxKeys: 5, noNullPrototype: true }) as fc.Arbitrary<Json> },
  { weight: 3, arbitrary: fc.array(json, { maxLength: 4 }) as fc.Arbitrary<Json> },
  { weight: 1, arbitrary: json },
  { weight: 1, arbitrary: fc.constant(undefined) },
)

/** An op whose paths are chosen when the document is known, so that most of them lead somewhere. */
export interface Choice {
  readonly op: Op['op']
  readonly from: PathChoice
  readonly path: PathChoice
  readonly value: Json
  /** Of a test: what is there, instead of `value`. */
  readonly present: boolean
}
interface PathChoice {
  readonly place: number
  readonly tail: PathElement | undefined
  readonly texts: boolean
}

const element: fc.Arbitrary<PathElement> = fc.oneof(key, fc.nat({ max: 5 }), fc.constantFrom<PathElement>('-', '2', 'name', 'new'))
const pathChoice: fc.Arbitrary<PathChoice> = fc.record({
  place: fc.nat(),
  tail: fc.option(element, { nil: undefined, freq: 2 }),
  texts: fc.boolean(),
})

export const choice: fc.Arbitrary<Choice> = fc.record({
  op: fc.constantFrom<Op['op'][]>('add', 'add', 'replace', 'remove', 'remove', 'move', 'copy', 'test'),
  from: pathChoice,
  path: pathChoice,
  value: json,
  present: fc.boolean(),
})
/** Patches, most of them of one to three ops. */
export const patches: fc.Arbitrary<Choice[][]> = fc.array(fc.array(choice, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 })

export function opOf(chosen: Choice, values: { active: Json | undefined; activeType: string; name: string | null }): Op {
  const places = placesOf(values)
  const at = (path: PathChoice): { path: Path; value: Json } => {
    const place = places[path.place % places.length] as { path: Path; value: Json }
    const full = path.tail === undefined ? place.path : [...place.path, path.tail]
    return { path: path.texts ? full.map(String) : full, value: place.value }
  }
  const target = at(chosen.path)
  switch (chosen.op) {
    case 'remove':
      return { op: 'remove', path: target.path }
    case 'move':
    case 'copy':
      return { op: chosen.op, from: at(chosen.from).path, path: target.path }
    case 'test':
      return { op: 'test', path: target.path, value: structuredClone(chosen.present ? target.value : chosen.value) }
    default:
      return { op: chosen.op, path: target.path, value: structuredClone(chosen.value) }
  }
}

function placesOf(values: { active: Json | undefined; activeType: string; name: string | null }): { path: Path; value: Json }[] {
  const places: { path: Path; value: Json }[] = [
    { path: ['active_type'], value: values.activeType },
    { path: ['name'], value: values.name },
  ]
  const walk = (path: Path, value: Json): void => {
    places.push({ path, value })
    if (Array.isArray(value)) value.forEach((item, i) => walk([...path, i], item))
    else if (typeof value === 'object' && value !== null) for (const [name, member] of Object.entries(value)) walk([...path, name], member)
  }
  walk(['active'], values.active ?? null)
  return places
}
