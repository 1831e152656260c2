/**
 * The same load without HTTP: straight to a state process over its link, all clients in one link, as the
 * api process uses it. How a link is opened is the business of `subjects/state-process-link.ts`.
 */
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { PatchAnswer, StateCluster } from '#shared/ports/state-cluster.ts'
import { connectLink } from '../subjects/state-process-link.ts'
import { type Channel, type ChannelOptions, KEY_LENGTH, type OnAnswer } from './channel.ts'

export type LinkTarget = { readonly kind: 'link'; readonly address: string; readonly dataDirectory: string }

/** What an answer would be as HTTP, so that faults are counted alike. */
const STATUS: Record<PatchAnswer['kind'], number> = {
  stored: 200,
  replay: 409,
  'out-of-sync': 412,
  unprocessable: 422,
  'too-large': 413,
  forbidden: 403,
  'key-reused': 422,
  unwritten: 404,
  unavailable: 503,
}

export async function openLinkChannels(target: LinkTarget, count: number, options: ChannelOptions): Promise<Channel[]> {
  const link = await connectLink(target)
  let open = count
  const onClose = (): void => {
    open -= 1
    if (open === 0) link.close()
  }
  return Array.from({ length: count }, () => new LinkChannel(link.cluster, options, onClose))
}

class LinkChannel implements Channel {
  readonly #cluster: StateCluster
  readonly #options: ChannelOptions
  readonly #onClose: () => void
  #keys = 0

  constructor(cluster: StateCluster, options: ChannelOptions, onClose: () => void) {
    this.#cluster = cluster
    this.#options = options
    this.#onClose = onClose
  }

  patch(id: string, value: number, key: string, onAnswer: OnAnswer): void {
    this.#keys += 1
    const { op } = this.#options
    const path = ['active', 'counter']
    const request = {
      id: id as StateId,
      ops: [{ op, path, value }],
      text: `[{"op":"${op}","path":["active","counter"],"value":${value}}]`,
      user: 'bench',
      domain: 'bench.localhost',
      authority: 'owner',
      creation: { name: null, reserved: false },
      key: (key === '' ? `${value}${id.slice(0, 8)}${this.#keys}` : key.slice(KEY_LENGTH - 16)).padEnd(16, '.').slice(0, 16),
      bodyDigest: '',
      expected: undefined as InteractionIndex | undefined,
      returnState: false,
      lenient: false,
    } as const
    this.#cluster.patch({ ...request, ops: [...request.ops] }).then(
      (answer) => onAnswer(STATUS[answer.kind], answer.kind === 'stored' ? answer.ii : 0),
      () => onAnswer(0, 0),
    )
  }

  close(): void {
    this.#onClose()
  }
}
