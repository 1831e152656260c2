/**
 * Looks for a claim's token where a domain can show it: in a TXT record of its host, or at
 * `https://{domain}/.well-known/knowlearning-admin-challenge`.
 *
 * The domain is a stranger's text: what it resolves to must be a public address, checked where the connection is made (a
 * name may lead elsewhere at the second look-up); nothing is followed, and little is read.
 */
import { lookup as lookUp } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { request } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { limits } from '#shared/limits.ts'
import type { DomainProof, ProofOutcome } from '#shared/ports/domain-proof.ts'

const WELL_KNOWN = '/.well-known/knowlearning-admin-challenge'

export function openDomainProof(): DomainProof {
  return {
    look: async (domain, token) => {
      const [dns, web] = await Promise.all([inDns(domain, token), onTheWeb(domain, token)])
      return dns.kind === 'shown' || web.kind === 'shown' ? { kind: 'shown' } : { kind: 'not-shown', reason: `${dns.reason}; ${web.reason}` }
    },
  }
}

async function inDns(domain: string, token: string): Promise<ProofOutcome> {
  const resolver = new Resolver({ timeout: limits.claimLookTimeoutMs, tries: 1 })
  try {
    const records = await resolver.resolveTxt(domain.split(':')[0]!)
    return records.some((parts) => parts.join('').trim() === token) ? { kind: 'shown' } : { kind: 'not-shown', reason: 'no TXT record has the token' }
  } catch {
    return { kind: 'not-shown', reason: 'there is no TXT record' }
  }
}

/** Addresses that are not of the public internet (IANA's registries of special-purpose addresses). */
const PRIVATE = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24],
  ['192.0.2.0', 24], ['192.88.99.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['198.51.100.0', 24], ['203.0.113.0', 24], ['224.0.0.0', 3],
] as const) PRIVATE.addSubnet(network, prefix, 'ipv4')
/** Of IPv6 only global unicast is public, less what leads into IPv4 or documentation. */
const PUBLIC_6 = new BlockList()
PUBLIC_6.addSubnet('2000::', 3, 'ipv6')
for (const [network, prefix] of [['2001::', 23], ['2001:db8::', 32], ['2002::', 16], ['3fff::', 20]] as const) PRIVATE.addSubnet(network, prefix, 'ipv6')

export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !PRIVATE.check(address, 'ipv4')
    case 6:
      return PUBLIC_6.check(address, 'ipv6') && !PRIVATE.check(address, 'ipv6')
    default:
      return false
  }
}

const lookup: LookupFunction = (host, options, done) => {
  lookUp(host, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, [])
    const open = addresses.filter(({ address }) => isPublicAddress(address))
    if (open.length === 0) return done(new Error('not a public address'), [])
    if (options.all === true) done(null, open)
    else done(null, open[0]!.address, open[0]!.family)
  })
}

function onTheWeb(domain: string, token: string): Promise<ProofOutcome> {
  return new Promise((resolve) => {
    const notShown = (reason: string): void => resolve({ kind: 'not-shown', reason: `${WELL_KNOWN} ${reason}` })
    // An address instead of a name is looked up by nobody.
    if (/^[0-9.]+(?::|$)/.test(domain)) return notShown('is not looked for at an address')
    const asked = request(`https://${domain}${WELL_KNOWN}`, { lookup, signal: AbortSignal.timeout(limits.claimLookTimeoutMs), agent: false }, (answer) => {
      if (answer.statusCode !== 200) {
        asked.destroy()
        return notShown(`answered ${answer.statusCode}`)
      }
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
        if (text.length > limits.claimAnswerBytes) asked.destroy(new Error('too long'))
      })
      answer.on('end', () => (text.trim() === token ? resolve({ kind: 'shown' }) : notShown('shows another text')))
      answer.on('error', () => notShown('could not be read'))
    })
    asked.on('error', () => notShown('could not be reached'))
    asked.end()
  })
}
