/**
 * The links of a state process: apis that ask, and the other state processes.
 *
 * Owns: accepted links, dialled links to peers with a greater name (so that there is one a pair). Does not own: what
 * is answered. I1. A link belongs to one life of each side: at a new life all links to peers end and are made anew.
 */
import type { Incarnation } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'
import { acceptLinks, dial, type LinkCredentials, type LinkServer } from '#shared/link/connect.ts'
import type { Link } from '#shared/link/link.ts'
import type { LinkMessage } from '#shared/link/messages.ts'
import type { Member } from '#shared/ports/directory.ts'
import type { PeerMessage } from '#shared/protocol/peer-message.ts'
import type { Host } from '#functions/state-process/host.ts'

export class ProcessLinks {
  readonly #name: string
  readonly #credentials: LinkCredentials
  #host: Host | undefined
  #server: LinkServer | undefined
  #peers = new Map<string, Link>()
  #dialling = new Set<string>()
  #members: readonly Member[] = []
  #closed = false

  constructor(name: string, credentials: LinkCredentials) {
    this.#name = name
    this.#credentials = credentials
  }

  /** Resolves to the port. */
  async listen(host: string, port: number): Promise<number> {
    this.#server = await acceptLinks({
      host,
      port,
      credentials: this.#credentials,
      hello: () => this.#hello(),
      pace: 'at-once',
      onLink: (link) => (link.peer.role === 'peer' ? this.#peer(link) : this.#api(link)),
    })
    return this.#server.port
  }

  serve(host: Host): void {
    this.#host = host
  }

  update(members: readonly Member[]): void {
    this.#members = members
    for (const member of members) this.#dial(member.name)
  }

  send(to: Incarnation, message: PeerMessage): void {
    for (const link of this.#peers.values()) if (link.peer.incarnation === to) link.send({ kind: 'peer', message })
  }

  /** The life that these links spoke for is over. */
  renew(): void {
    for (const link of [...this.#peers.values()]) link.close()
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const link of this.#peers.values()) link.close()
    await this.#server?.close()
  }

  #hello(): { role: 'peer'; name: string; incarnation: Incarnation } {
    return { role: 'peer', name: this.#name, incarnation: this.#host?.incarnation ?? ('' as Incarnation) }
  }

  #dial(name: string): void {
    const member = this.#members.find((other) => other.name === name)
    if (this.#closed || member === undefined || member.address === '' || name <= this.#name || this.#peers.has(name) || this.#dialling.has(name)) return
    this.#dialling.add(name)
    const hello = this.#hello()
    void dial(member.address, () => hello, this.#credentials, (link) => {
      this.#dialling.delete(name)
      // The other side knows the link under the life that said hello: if another has begun since, it is not for that one.
      if (link !== undefined && !this.#closed && hello.incarnation === this.#host?.incarnation) this.#peer(link)
      else {
        link?.close()
        this.#later(name)
      }
    })
  }

  #later(name: string): void {
    setTimeout(() => this.#dial(name), limits.linkRedialMs).unref()
  }

  #peer(link: Link): void {
    const { name, incarnation } = link.peer
    const host = this.#host
    if (host === undefined || incarnation === '') return link.close()
    // The newer link is of the newer life, or of one that has lost the older link.
    this.#peers.get(name)?.close()
    this.#peers.set(name, link)
    link.onEnd = () => {
      if (this.#peers.get(name) === link) this.#peers.delete(name)
      host.linkDown(incarnation)
      this.#later(name)
    }
    link.onMessage = (message) => {
      if (message.kind === 'peer') host.received(incarnation, message.message)
      else link.end()
    }
    host.linkUp(incarnation, name)
  }

  #api(link: Link): void {
    const host = this.#host
    if (host === undefined) return link.close()
    /** Tokens of the link to tokens of the host. */
    const requests = new Map<number, number>()
    const followings = new Map<number, number>()
    link.onEnd = () => {
      for (const token of requests.values()) host.forget(token)
      for (const token of followings.values()) host.unfollow(token)
      requests.clear()
      followings.clear()
    }
    link.onMessage = (message) => this.#asked(host, link, message, requests, followings)
  }

  #asked(host: Host, link: Link, message: LinkMessage, requests: Map<number, number>, followings: Map<number, number>): void {
    switch (message.kind) {
      case 'submit': {
        const { token } = message
        let answered = false
        const own = host.submit(message.submission, (answer) => {
          answered = true
          requests.delete(token)
          link.send({ kind: 'answer', token, answer })
        })
        if (!answered) requests.set(token, own)
        return
      }
      case 'forget': {
        const own = requests.get(message.token)
        requests.delete(message.token)
        if (own !== undefined) host.forget(own)
        return
      }
      case 'follow': {
        const { token } = message
        let ended = false
        const own = host.follow(message.id, message.from, {
          state: (state) => link.send({ kind: 'follow-state', token, state }),
          patch: (interaction) => link.send({ kind: 'follow-patch', token, interaction }),
          end: () => {
            ended = true
            followings.delete(token)
            link.send({ kind: 'follow-end', token })
          },
        })
        if (!ended) followings.set(token, own)
        return
      }
      case 'unfollow': {
        const own = followings.get(message.token)
        followings.delete(message.token)
        if (own !== undefined) host.unfollow(own)
        return
      }
      case 'status-ask': {
        const { leads, log } = host.status()
        return link.send({ kind: 'status', token: message.token, leads, log })
      }
      case 'hello':
      case 'answer':
      case 'follow-state':
      case 'follow-patch':
      case 'follow-end':
      case 'peer':
      case 'status':
        return link.end()
    }
  }
}
