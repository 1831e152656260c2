/** A state process behind a link. */
import type { InteractionIndex, Slot, StateId } from '#shared/ids.ts'
import type { Answer } from '#shared/protocol/effects.ts'
import type { Channel, FollowEvents, LinkLost, Submission } from '#shared/link/channel.ts'
import type { Link } from '#shared/link/link.ts'
import type { LinkMessage } from '#shared/link/messages.ts'

export type RemoteStatus = { readonly leads: readonly Slot[]; readonly log: { readonly seq: number; readonly waiting: number } }

export class RemoteChannel implements Channel {
  readonly #link: Link
  #nextToken = 1
  #answers = new Map<number, (answer: Answer | LinkLost) => void>()
  #followings = new Map<number, FollowEvents>()
  #statuses = new Map<number, (status: RemoteStatus | undefined) => void>()

  constructor(link: Link, onEnd: () => void) {
    this.#link = link
    link.onMessage = (message) => this.#received(message)
    link.onEnd = () => {
      onEnd()
      const answers = [...this.#answers.values()]
      const followings = [...this.#followings.values()]
      const statuses = [...this.#statuses.values()]
      for (const waiting of [this.#answers, this.#followings, this.#statuses]) waiting.clear()
      for (const then of answers) then({ kind: 'link-lost' })
      for (const { end } of followings) end()
      for (const then of statuses) then(undefined)
    }
  }

  get peer(): { readonly name: string; readonly incarnation: string } {
    return this.#link.peer
  }

  submit(submission: Submission, then: (answer: Answer | LinkLost) => void): number {
    const token = this.#nextToken++
    this.#answers.set(token, then)
    this.#link.send({ kind: 'submit', token, submission })
    return token
  }

  forget(token: number): void {
    if (this.#answers.delete(token)) this.#link.send({ kind: 'forget', token })
  }

  follow(id: StateId, from: InteractionIndex | undefined, events: FollowEvents): number {
    const token = this.#nextToken++
    this.#followings.set(token, events)
    this.#link.send({ kind: 'follow', token, id, from })
    return token
  }

  unfollow(token: number): void {
    if (this.#followings.delete(token)) this.#link.send({ kind: 'unfollow', token })
  }

  status(): Promise<RemoteStatus | undefined> {
    return new Promise((resolve) => {
      const token = this.#nextToken++
      this.#statuses.set(token, resolve)
      this.#link.send({ kind: 'status-ask', token })
    })
  }

  close(): void {
    this.#link.close()
  }

  #received(message: LinkMessage): void {
    switch (message.kind) {
      case 'answer': {
        const then = this.#answers.get(message.token)
        this.#answers.delete(message.token)
        return then?.(message.answer)
      }
      case 'follow-state':
        return this.#followings.get(message.token)?.state(message.state)
      case 'follow-patch':
        return this.#followings.get(message.token)?.patch(message.interaction)
      case 'follow-end': {
        const events = this.#followings.get(message.token)
        this.#followings.delete(message.token)
        return events?.end()
      }
      case 'status': {
        const then = this.#statuses.get(message.token)
        this.#statuses.delete(message.token)
        return then?.({ leads: message.leads, log: message.log })
      }
      case 'hello':
      case 'submit':
      case 'forget':
      case 'follow':
      case 'unfollow':
      case 'peer':
      case 'status-ask':
        // A state process says none of these to an api: it is another version, or another program.
        return this.#link.end()
    }
  }
}
