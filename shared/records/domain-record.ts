/** The record of a domain in the registry, as JSON in an envelope. */
import { parseStateId } from '#shared/ids.ts'
import type { StateId } from '#shared/ids.ts'
import { parseJson, unwrapOnly, wrap } from '#shared/records/envelope.ts'

/** A configuration as it was handed in. */
export type ConfigSource = {
  /** The upload with its YAML: the state that it is read by, and the object. */
  readonly state: StateId
  readonly object: StateId
  readonly report: StateId
  /** ms since 1970: in force, or begun. */
  readonly sinceMs: number
}

export type DomainRecord = {
  readonly domain: string
  /** 1, 2, 3 ...: of the writes to this record. */
  readonly version: number
  /** Who claimed the domain: a user of a domain, this one or another. */
  readonly admin: { readonly user: string; readonly domain: string }
  /** The report of the claim that succeeded: by it a repeat of the claim finds itself. */
  readonly claim: StateId
  /** In force; undefined: none has ever been. */
  readonly config: ConfigSource | undefined
  /** Being brought into force. One that nobody works on any more is what a crash left: the domain's database is neither as before nor as wanted. */
  readonly applying: ConfigSource | undefined
}

export function encodeDomainRecord(record: DomainRecord): Buffer {
  return wrap('domain', Buffer.from(domainRecordText(record)))
}

/** Throws `CorruptRecord`. */
export function decodeDomainRecord(bytes: Uint8Array): DomainRecord {
  return parseDomainRecord(unwrapOnly('domain', bytes).toString('utf8'))
}

export function domainRecordText({ domain, version, admin, claim, config, applying }: DomainRecord): string {
  return JSON.stringify({ domain, version, admin, claim, config, applying })
}

/** Throws `CorruptRecord`. */
export function parseDomainRecord(text: string): DomainRecord {
  const { domain, version, admin, claim, config, applying } = parseJson<DomainRecord>(text, isRecord)
  return { domain, version, admin, claim, config, applying }
}

function isRecord(value: Record<string, unknown>): boolean {
  const { domain, version, admin, claim, config, applying } = value
  if (typeof domain !== 'string' || !Number.isSafeInteger(version) || !isId(claim)) return false
  if (typeof admin !== 'object' || admin === null) return false
  const { user, domain: of } = admin as Record<string, unknown>
  return typeof user === 'string' && typeof of === 'string' && isSource(config) && isSource(applying)
}

function isSource(value: unknown): boolean {
  if (value === undefined) return true
  if (typeof value !== 'object' || value === null) return false
  const { state, object, report, sinceMs } = value as Partial<ConfigSource>
  return [state, object, report].every(isId) && Number.isSafeInteger(sinceMs)
}

const isId = (value: unknown): boolean => typeof value === 'string' && parseStateId(value) === value
