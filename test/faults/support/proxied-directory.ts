/** The directory as somebody sees it who reaches others through proxies; and what a test tells a faulty process. */
import type { Directory, Member } from '#shared/ports/directory.ts'

/** Chances are 0 to 1. */
export type StorageFaults = {
  readonly slowMs: number
  readonly failed: number
  readonly unknown: number
  /** How late a put that was given up may take effect. */
  readonly lateMs: number
}

export type Command = { readonly kind: 'storage'; readonly faults: StorageFaults } | { readonly kind: 'addresses'; readonly addresses: Readonly<Record<string, string>> }

/** `proxies`: by name of who is behind it. */
export function throughProxies(directory: Directory, proxies: ReadonlyMap<string, string>): Directory {
  const seen = (members: readonly Member[]): Member[] => members.map((member) => ({ ...member, address: proxies.get(member.name) ?? member.address }))
  return {
    announce: (member) => directory.announce(member),
    leave: (name, incarnation) => directory.leave(name, incarnation),
    members: async () => {
      const known = await directory.members()
      return known.kind === 'members' ? { kind: 'members', members: seen(known.members) } : known
    },
    watch: (onChange) => directory.watch((members) => onChange(seen(members))),
    close: () => directory.close(),
  }
}
