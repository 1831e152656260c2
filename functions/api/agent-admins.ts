/**
 * Who administers local domains, for published agents: whoever claims or configures last. Everywhere else the first who
 * proved it does, as for REST.
 */
import { randomUUID } from 'node:crypto'
import type { StateId } from '#shared/ids.ts'
import type { JsonObject } from '#shared/json.ts'
import type { DomainRegistry } from '#shared/ports/domain-registry.ts'
import { isLocalhost, parseDomain } from '#shared/sessions/domain.ts'
import { isOwner } from './party.ts'
import type { Party } from './party.ts'
import { typeOf } from './side-effects/side-effects.ts'

/** Against others who claim at the same time. */
const ATTEMPTS = 4
const PLAIN_LOCALHOST = /^localhost(?::\d+)?$/

export class AgentAdmins {
  readonly #registry: DomainRegistry
  readonly #openDomains: boolean

  constructor(options: { readonly registry: DomainRegistry; readonly openDomains: boolean }) {
    this.#registry = options.registry
    this.#openDomains = options.openDomains
  }

  /** Before a message that claims or configures: makes the sender the admin where that is all it takes. */
  async prepare(sender: Party, type: string | undefined, active: JsonObject | undefined): Promise<void> {
    const isClaim = type === typeOf('domain-claim')
    if (!this.#openDomains || (!isClaim && type !== typeOf('domain-config'))) return
    const asked = active?.['domain']
    const domain = asked === undefined ? sender.domain : typeof asked === 'string' ? parseDomain(asked) : undefined
    if (domain === undefined || !isLocalhost(domain)) return
    if (!isClaim && !mayConfigure(sender)) return
    await this.#make(sender, domain, isClaim)
  }

  async isLocalAdmin(sender: Party, active: JsonObject | undefined): Promise<boolean> {
    const asked = active?.['domain']
    const domain = typeof asked === 'string' ? parseDomain(asked) : undefined
    if (!this.#openDomains || domain === undefined || !isLocalhost(domain)) return false
    const read = await this.#registry.read(domain)
    return read.kind === 'record' && isOwner(sender, { owner: read.record.admin.user, domain: read.record.admin.domain })
  }

  /** The first claim of a domain is left to the claim itself. */
  async #make(sender: Party, domain: string, isClaim: boolean): Promise<void> {
    const admin = { user: sender.user, domain: sender.domain }
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const read = await this.#registry.read(domain)
      if (read.kind === 'failed' || (read.kind === 'none' && isClaim)) return
      const present = read.kind === 'record' ? read.record : undefined
      if (present !== undefined && isOwner(admin, { owner: present.admin.user, domain: present.admin.domain })) return
      const claim = present?.claim ?? (randomUUID() as StateId)
      const record = { domain, version: (present?.version ?? 0) + 1, admin, claim, config: present?.config, applying: present?.applying }
      if ((await this.#registry.write(record)).kind !== 'conflict') return
    }
  }
}

/** From a page on `localhost`, or on the user's own `USER.localhost`. */
function mayConfigure({ user, domain }: Party): boolean {
  return PLAIN_LOCALHOST.test(domain) || domain.replace(/:\d+$/, '') === `${user}.localhost`
}
