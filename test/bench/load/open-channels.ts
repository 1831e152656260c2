import type { Channel, ChannelOptions } from './channel.ts'
import { openHttpChannel, type HttpTarget } from './http-channel.ts'
import { openLinkChannels, type LinkTarget } from './link-channel.ts'

export type Target = HttpTarget | LinkTarget

export function openChannels(target: Target, count: number, options: ChannelOptions): Promise<Channel[]> {
  switch (target.kind) {
    case 'http':
      return Promise.all(Array.from({ length: count }, () => openHttpChannel(target, options)))
    case 'link':
      return openLinkChannels(target, count, options)
  }
}
