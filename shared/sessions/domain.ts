/** The text forms of domains (tenants: a host, with port if it has one) and of users. */
import { limits } from '#shared/limits.ts'

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const PORT = /^[1-9][0-9]{0,4}$/

/** `text` as a domain in lower case: labels of letters, digits and hyphens, an optional port. Undefined for anything else. */
export function parseDomain(text: string): string | undefined {
  if (text.length > limits.domainCharacters) return undefined
  const lower = text.toLowerCase()
  const colon = lower.indexOf(':')
  if (colon !== -1) {
    const port = lower.slice(colon + 1)
    if (!PORT.test(port) || Number(port) > 65_535) return undefined
  }
  const host = colon === -1 ? lower : lower.slice(0, colon)
  return host.split('.').every((label) => LABEL.test(label)) ? lower : undefined
}

/** The domain that an `Origin` header names; undefined for `null`, other schemes and what is no origin. */
export function domainOfOrigin(origin: string): string | undefined {
  if (origin.startsWith('https://')) return parseDomain(origin.slice(8))
  if (origin.startsWith('http://')) return parseDomain(origin.slice(7))
  return undefined
}

/** `localhost` and `*.localhost`, with any port. */
export function isLocalhost(domain: string): boolean {
  const colon = domain.indexOf(':')
  const host = colon === -1 ? domain : domain.slice(0, colon)
  return host === 'localhost' || host.endsWith('.localhost')
}

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** Whether `text` may name a user: the UUIDs that we give, and domains (a domain's agent acts as the domain). */
export function isUserText(text: string): boolean {
  return text.length > 0 && text.length <= limits.userCharacters && !CONTROL.test(text) && text.isWellFormed()
}

/** Whether `text` may be a state's name: no control characters, well-formed, 1 to `limits.nameBytes` bytes of UTF-8. */
export function isNameText(text: string): boolean {
  return text.length > 0 && text.length <= limits.nameBytes && !CONTROL.test(text) && text.isWellFormed() && Buffer.byteLength(text) <= limits.nameBytes
}
