/**
 * How an emulator is told to misbehave.
 *
 * Purpose: tests see what the adapters do when Google Cloud is unavailable, slow, aborts, or does a write and loses the answer.
 * Owns: the rules that are set, and how often each has still to come true.
 * Does not own: what a fault looks like on the wire; each emulator translates it into its protocol.
 * Talks to: nobody; emulators ask `next`, tests call `add`, other processes use `handleControl` over HTTP.
 *
 * Invariants:
 *  I1  The first rule that matches a call decides, in the order in which they were added; it is used up by one.
 *  I2  Without rules nothing misbehaves.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { unreachable } from '#shared/assert.ts'

export type Fault =
  /** Nothing is done, and the answer says so: UNAVAILABLE, or 503. */
  | { readonly kind: 'unavailable' }
  /** Nothing is done: ABORTED, or 409. */
  | { readonly kind: 'aborted' }
  /** Done after so many ms. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Done, and then the connection breaks, or the answer is UNAVAILABLE. */
  | { readonly kind: 'answer-lost' }

export const SERVICES = ['pubsub', 'storage', 'firestore'] as const
export type Service = (typeof SERVICES)[number]

export type FaultRule = {
  readonly service: Service
  /** As the service names it: `Publish`, `Commit`, `objects.insert`. Undefined: every one. */
  readonly operation?: string
  /** Only calls whose resource name has this in it. */
  readonly resource?: string
  readonly fault: Fault
  /** How many calls it befalls. Undefined: all, until `clear`. */
  readonly times?: number
}

export type Call = { readonly service: Service; readonly operation: string; readonly resource: string }

const CONTROL_BYTES = 64 * 1024

export class Faults {
  #rules: { readonly rule: FaultRule; left: number }[] = []

  add(rule: FaultRule): void {
    this.#rules.push({ rule, left: rule.times ?? Infinity })
  }

  clear(): void {
    this.#rules = []
  }

  /** Rules that have not come true as often as they should. */
  pending(): readonly FaultRule[] {
    return this.#rules.map(({ rule }) => rule)
  }

  /** What this call has to suffer; asked once a call. */
  next({ service, operation, resource }: Call): Fault | undefined {
    const found = this.#rules.find(
      ({ rule }) => rule.service === service && (rule.operation ?? operation) === operation && (rule.resource === undefined || resource.includes(rule.resource)),
    )
    if (found === undefined) return undefined
    found.left -= 1
    if (found.left <= 0) this.#rules = this.#rules.filter((each) => each !== found)
    return found.rule.fault
  }

  /** `POST /faults` adds the rule of its JSON body, `DELETE /faults` removes all, `GET /faults` lists them. */
  handleControl(req: IncomingMessage, res: ServerResponse): void {
    const answer = (status: number, body: unknown): void => {
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (req.url !== '/faults') return answer(404, { error: 'there is /faults only' })
    if (req.method === 'GET') return answer(200, this.pending())
    if (req.method === 'DELETE') {
      this.clear()
      return answer(200, [])
    }
    if (req.method !== 'POST') return answer(405, { error: 'GET, POST or DELETE' })
    readBody(req).then(
      (text) => {
        const rule = parseFaultRule(text)
        if (rule === undefined) return answer(400, { error: 'not a rule: {"service", "operation", "resource", "fault": {"kind"}, "times"}' })
        this.add(rule)
        return answer(200, this.pending())
      },
      () => answer(400, { error: 'the body did not come' }),
    )
  }
}

async function readBody(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of req.setEncoding('utf8')) {
    text += part
    if (text.length > CONTROL_BYTES) throw new Error('too large')
  }
  return text
}

/** Undefined: it is none. */
export function parseFaultRule(text: string): FaultRule | undefined {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return undefined
  }
  const { service, operation, resource, fault, times } = asRecord(given)
  const parsed = parseFault(asRecord(fault))
  const known = SERVICES.find((each) => each === service)
  if (known === undefined || parsed === undefined) return undefined
  if (operation !== undefined && typeof operation !== 'string') return undefined
  if (resource !== undefined && typeof resource !== 'string') return undefined
  if (times !== undefined && !(Number.isSafeInteger(times) && (times as number) > 0)) return undefined
  return {
    service: known,
    fault: parsed,
    ...(operation === undefined ? {} : { operation }),
    ...(resource === undefined ? {} : { resource }),
    ...(times === undefined ? {} : { times: times as number }),
  }
}

function parseFault({ kind, delayMs }: Record<string, unknown>): Fault | undefined {
  const known = (['unavailable', 'aborted', 'slow', 'answer-lost'] as const).find((each) => each === kind)
  switch (known) {
    case undefined:
      return undefined
    case 'unavailable':
    case 'aborted':
    case 'answer-lost':
      return { kind: known }
    case 'slow':
      return typeof delayMs === 'number' && delayMs >= 0 && delayMs <= 600_000 ? { kind: known, delayMs } : undefined
    default:
      return unreachable(known)
  }
}

const asRecord = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {})
