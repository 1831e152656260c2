/**
 * Links to all state processes in the directory, kept open.
 *
 * Owns: one link a member, dialled again when it ends or when the member has moved. I1. Of one name at most one
 * link, to the address that the directory has.
 */
import type { Incarnation } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import type { Directory, Member } from '#shared/ports/directory.ts'
import type { MemberInfo } from '#shared/ports/state-cluster.ts'
import { dial, type LinkCredentials } from '#shared/link/connect.ts'
import { RemoteChannel } from '#shared/link/remote-channel.ts'
import type { Routes } from '#shared/link/routed-cluster.ts'
import type { Channel } from '#shared/link/channel.ts'

type Kept = { member: Member; channel: RemoteChannel | undefined; dialling: boolean }

export class DirectoryRoutes implements Routes {
  readonly #credentials: LinkCredentials
  readonly #name: string
  #kept = new Map<string, Kept>()
  readonly #unwatch: () => void
  #closed = false
  readonly #expected: number

  /** `name`: who dials. `expected`: processes that there should be. */
  constructor(options: { readonly directory: Directory; readonly credentials: LinkCredentials; readonly name: string; readonly expected: number }) {
    this.#credentials = options.credentials
    this.#name = options.name
    this.#expected = options.expected
    this.#unwatch = options.directory.watch((members) => this.#update(members))
  }

  names(): readonly string[] {
    return [...this.#kept.values()].filter(({ member, channel }) => member.state === 'active' && channel !== undefined).map(({ member }) => member.name)
  }

  channel(name: string): Channel | undefined {
    return this.#kept.get(name)?.channel
  }

  async members(): Promise<readonly MemberInfo[]> {
    const all = [...this.#kept.values()].map(async ({ member, channel }) => {
      const status = await channel?.status()
      const { name, pid, address, state } = member
      const incarnation = channel?.peer.incarnation ?? member.incarnation
      return { name, incarnation, pid, address, state, slots: status?.leads.length ?? 0, leads: status?.leads ?? [], log: status?.log ?? { seq: 0, waiting: 0 } }
    })
    return Promise.all(all)
  }

  missing(): readonly string[] {
    const active = this.names().length
    return active >= Math.floor(this.#expected / 2) + 1 ? [] : [`${active} of ${this.#expected} state processes can be reached`]
  }

  close(): void {
    this.#closed = true
    this.#unwatch()
    for (const { channel } of this.#kept.values()) channel?.close()
  }

  #update(members: readonly Member[]): void {
    for (const name of this.#kept.keys()) {
      if (members.some((member) => member.name === name)) continue
      const gone = this.#kept.get(name)
      this.#kept.delete(name)
      gone?.channel?.close()
    }
    for (const member of members) {
      const kept = this.#kept.get(member.name)
      if (kept === undefined) this.#kept.set(member.name, { member, channel: undefined, dialling: false })
      else {
        // A process that came back listens elsewhere: what still stands leads to nobody.
        if (kept.member.address !== member.address) kept.channel?.close()
        kept.member = member
      }
      this.#dial(member.name)
    }
  }

  #dial(name: string): void {
    const kept = this.#kept.get(name)
    if (this.#closed || kept === undefined || kept.channel || kept.dialling || kept.member.address === '') return
    kept.dialling = true
    const { address } = kept.member
    const hello = { role: 'api', name: this.#name, incarnation: '' as Incarnation } as const
    void dial(address, () => hello, this.#credentials, (link) => {
      kept.dialling = false
      if (link === undefined) return this.#later(name)
      if (this.#closed || this.#kept.get(name)?.member.address !== address) {
        link.close()
        return this.#later(name)
      }
      kept.channel = new RemoteChannel(link, () => {
        kept.channel = undefined
        this.#later(name)
      })
    })
  }

  #later(name: string): void {
    setTimeout(() => this.#dial(name), limits.linkRedialMs).unref()
  }
}
