/** Preconditions on generation and metageneration, as both APIs have them under names of their own. */
import { invalid, missing, notMet, notModified } from './reply.ts'
import type { Judge, ObjectRow } from './store.ts'

export type Conditions = {
  readonly generationMatch: number | undefined
  readonly generationNotMatch: number | undefined
  readonly metagenerationMatch: number | undefined
  readonly metagenerationNotMatch: number | undefined
}

/** `value`: of a query parameter or a header. Throws a refusal where one is no number. */
export function conditionsOf(value: (name: 'GenerationMatch' | 'GenerationNotMatch' | 'MetagenerationMatch' | 'MetagenerationNotMatch') => string | null | undefined): Conditions {
  const numberOf = (name: Parameters<typeof value>[0]): number | undefined => {
    const text = value(name)
    if (text === null || text === undefined) return undefined
    if (!/^-?\d{1,19}$/.test(text)) throw invalid(`Invalid value for if${name}: ${text}`)
    return Number(text)
  }
  return {
    generationMatch: numberOf('GenerationMatch'),
    generationNotMatch: numberOf('GenerationNotMatch'),
    metagenerationMatch: numberOf('MetagenerationMatch'),
    metagenerationNotMatch: numberOf('MetagenerationNotMatch'),
  }
}

/** For writes: 412. Generation 0 is that of a name without an object. */
export function judgeOf(conditions: Conditions): Judge {
  return (current) => {
    if (!matches(conditions, current) || repeats(conditions, current)) throw notMet()
  }
}

/** For reads: 412 where it is another one than wanted, 304 where it is the one that is known already. */
export function judgeRead(conditions: Conditions, current: ObjectRow): void {
  if (!matches(conditions, current)) throw notMet()
  if (repeats(conditions, current)) throw notModified()
}

/** For a delete: what is not there cannot be deleted. */
export function judgeDelete(conditions: Conditions, what: string): Judge {
  return (current) => {
    if (current === undefined) throw missing(what)
    judgeOf(conditions)(current)
  }
}

function matches({ generationMatch, metagenerationMatch }: Conditions, current: ObjectRow | undefined): boolean {
  return (generationMatch === undefined || generationMatch === (current?.generation ?? 0)) && (metagenerationMatch === undefined || metagenerationMatch === (current?.metageneration ?? 0))
}

function repeats({ generationNotMatch, metagenerationNotMatch }: Conditions, current: ObjectRow | undefined): boolean {
  return (generationNotMatch !== undefined && generationNotMatch === (current?.generation ?? 0)) || (metagenerationNotMatch !== undefined && metagenerationNotMatch === current?.metageneration)
}
