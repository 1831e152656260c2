/**
 * A message of the fan-out outside this process, version 1: attributes that subscribers filter by, and a body of JSON:
 * `{"v":1,"id","ii","domain","owner","user","active_type","ts","patch":[...]}`, `ts` in ms since 1970.
 *
 * A message that the transport could not take whole comes without `patch`, and with the attribute `patch_omitted` = `true`:
 * its subscriber reads the interaction from the history.
 */
import { parseStateId, type InteractionIndex } from '#shared/ids.ts'
import type { FanOutMessage } from '#shared/ports/fan-out.ts'

const VERSION = 1

/** Pub/Sub takes 1,024 bytes as the value of an attribute. */
const ATTRIBUTE_BYTES = 1_024

export type FanOutParts = { readonly attributes: Readonly<Record<string, string>>; readonly body: Uint8Array }

/** `patch` undefined: it was left out. */
export type ReceivedInteraction = Omit<FanOutMessage, 'patch'> & { readonly patch: string | undefined }

/** `limitBytes`: what the body may have; past it the patch is left out. */
export function encodeFanOutMessage(message: FanOutMessage, limitBytes: number): FanOutParts {
  const { id, ii, domain, activeType, patch } = message
  // The type as far as an attribute can hold it; the body has it whole.
  const attributes = { domain, id, ii: String(ii), active_type: cut(activeType) }
  const head = headOf(message)
  const body = Buffer.from(`${head},"patch":${patch}}`)
  if (body.byteLength <= limitBytes) return { attributes, body }
  return { attributes: { ...attributes, patch_omitted: 'true' }, body: Buffer.from(`${head}}`) }
}

/** All but the patch, and open for more. */
function headOf({ id, ii, domain, owner, user, activeType, ts }: Omit<FanOutMessage, 'patch'>): string {
  return JSON.stringify({ v: VERSION, id, ii, domain, owner, user, active_type: activeType, ts }).slice(0, -1)
}

/** Undefined: it is no such message. The bytes may come from anybody. */
export function decodeFanOutMessage(body: Uint8Array): ReceivedInteraction | undefined {
  let text: string
  let parsed: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined
  const { v, id, ii, domain, owner, user, active_type: activeType, ts, patch } = parsed as Record<string, unknown>
  const stateId = typeof id === 'string' ? parseStateId(id) : undefined
  if (v !== VERSION || stateId === undefined || !isIndex(ii)) return undefined
  if (typeof domain !== 'string' || typeof owner !== 'string' || typeof user !== 'string' || typeof activeType !== 'string') return undefined
  if (!isIndex(ts) || (patch !== undefined && !Array.isArray(patch))) return undefined
  const rest = { id: stateId, ii: ii as InteractionIndex, domain, owner, user, activeType, ts }
  return { ...rest, patch: patch === undefined ? undefined : patchText(text, rest, patch) }
}

/** As it was written, where it stands where this codec puts it: numbers and double keys survive. */
function patchText(text: string, rest: Omit<FanOutMessage, 'patch'>, patch: readonly unknown[]): string {
  const before = `${headOf(rest)},"patch":`
  const written = text.slice(before.length, -1)
  return text.startsWith(before) && isJson(written) ? written : JSON.stringify(patch)
}

/** Not so where another member follows: the last one of a name is what counts. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function cut(text: string): string {
  let bytes = Buffer.from(text)
  if (bytes.byteLength <= ATTRIBUTE_BYTES) return text
  bytes = bytes.subarray(0, ATTRIBUTE_BYTES)
  // What is left of a character that was cut through goes as well.
  return bytes.toString('utf8').replace(/\uFFFD$/, '')
}
