/** A state process on its ports: the host, its links, its record in the directory, its stop. */
import type { Incarnation } from '#shared/ids.ts'
import type { Log } from '#shared/log.ts'
import { limits } from '#shared/limits.ts'
import type { Clock } from '#shared/ports/clock.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'
import type { Directory, Member } from '#shared/ports/directory.ts'
import type { FanOut } from '#shared/ports/fan-out.ts'
import type { GapRule } from '#shared/protocol/recovery.ts'
import type { MemberInfo } from '#shared/ports/state-cluster.ts'
import type { LinkCredentials } from '#shared/link/connect.ts'
import { Host } from '#functions/state-process/host.ts'
import { ProcessLinks } from '#functions/state-process/links.ts'

export type StateProcessLinks = {
  readonly host: string
  readonly port: number
  readonly credentials: LinkCredentials
  /** Where others reach it; undefined: at host and port. */
  readonly address: string | undefined
}

export type StateProcessParts = {
  readonly name: string
  /** Where its links come in and go out; undefined: it is the only state process, and its api is in this process. */
  readonly links: StateProcessLinks | undefined
  readonly gapRule: GapRule
  readonly coldStorage: ColdStorage
  readonly directory: Directory
  readonly fanOut: FanOut
  readonly clock: Clock
  readonly log: Log
}

export type StateProcess = {
  readonly host: Host
  /** Resolves when nothing is missing any more. */
  readonly ready: Promise<void>
  member(): MemberInfo
  stop(): Promise<void>
}

export async function startStateProcess(parts: StateProcessParts): Promise<StateProcess> {
  const { name, gapRule, coldStorage, directory, fanOut, clock, log } = parts
  const links = parts.links && new ProcessLinks(name, parts.links.credentials)
  const address = parts.links && links ? await listen(links, parts.links) : ''
  let state: Member['state'] = 'joining'
  const announce = (incarnation: Incarnation): void => {
    void directory.announce({ name, incarnation, address, pid: process.pid, state, heartbeat: clock.wallMs() }).then((outcome) => {
      if (outcome.kind === 'failed') log.warn({ reason: outcome.reason }, 'directory does not take our record')
    })
  }
  const known = await directory.members()
  const previous = known.kind === 'members' ? known.members.find((member) => member.name === name)?.incarnation : undefined
  const host = new Host({
    name,
    coldStorage,
    clock,
    log,
    fanOut,
    previous,
    clustered: links !== undefined,
    gapRule,
    onIncarnation: (incarnation) => {
      announce(incarnation)
      links?.renew()
    },
    send: (to, message) => links?.send(to, message),
  })
  links?.serve(host)
  const unwatch =
    links &&
    directory.watch((members) => {
      host.members(members)
      links.update(members)
    })
  const heart = setInterval(() => announce(host.incarnation), limits.directoryHeartbeatMs).unref()
  const ready = new Promise<void>((resolve) => {
    const look = (): void => {
      if (host.status().missing.length > 0) return void setTimeout(look, limits.readyLookMs)
      state = 'active'
      announce(host.incarnation)
      resolve()
    }
    look()
  })
  return {
    host,
    ready,
    member: () => {
      const { leads, log } = host.status()
      return { name, incarnation: host.incarnation, pid: process.pid, address, state, slots: leads.length, leads, log }
    },
    stop: async () => {
      state = 'draining'
      clearInterval(heart)
      announce(host.incarnation)
      await host.stop()
      unwatch?.()
      await links?.close()
      await directory.leave(name, host.incarnation)
    },
  }
}

async function listen(links: ProcessLinks, { host, port, address }: StateProcessLinks): Promise<string> {
  const listening = await links.listen(host, port)
  return address ?? `${host}:${listening}`
}
