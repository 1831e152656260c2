/**
 * Uploads in a folder of this machine: the embedded adapter of `shared/ports/uploads.ts`. Addresses lead to routes of this
 * process (upload-routes.ts), files are kept as upload-files.ts says.
 *
 * I1. `close` resolves when no request is under way any more.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { assert } from '#shared/assert.ts'
import type { ContentOutcome, MetadataOutcome, StoreOutcome, UploadName, Uploads } from '#shared/ports/uploads.ts'
import { UploadFiles, only } from './upload-files.ts'
import type { FileCalls } from './upload-files.ts'
import type { OnFault } from './object-writer.ts'
import { UploadAddresses, isUploadName } from './upload-addresses.ts'
import { UploadRoutes } from './upload-routes.ts'
import { reasonOf } from './system-error.ts'

export type UploadsOptions = {
  readonly folder: string
  /** At least 32 bytes. Signs the addresses; changing it ends those that are out. */
  readonly key: Uint8Array
  readonly limitBytes: number
  /** Whether pages of this Origin may put and get. */
  readonly allowsOrigin: (origin: string) => boolean
  readonly clock: { wallMs(): number }
  readonly onFault?: OnFault
  /** The file system as tests want it to be. */
  readonly calls?: FileCalls
}

export type Handler = (req: IncomingMessage, res: ServerResponse) => void

export interface EmbeddedUploads extends Uploads {
  /** A handler that answers the addresses of uploads itself, and leaves all else to `next`. */
  before(next: Handler): Handler
}

/** Throws if the folder cannot be made. */
export function openUploads(options: UploadsOptions): EmbeddedUploads {
  const { clock, limitBytes, allowsOrigin } = options
  const onFault = options.onFault ?? (() => {})
  const files = new UploadFiles({ folder: options.folder, clock, onFault, ...(options.calls && { calls: options.calls }) })
  const addresses = new UploadAddresses({ key: options.key, clock })
  const routes = new UploadRoutes({ files, addresses, limitBytes, allowsOrigin, onFault })
  const checked = (name: UploadName): UploadName => {
    assert(isUploadName(name), `not the name of an upload: ${name}`)
    return name
  }
  return {
    uploadAddress: async ({ name, type, baseUrl }) => ({ kind: 'signed', url: baseUrl + addresses.sign({ method: 'PUT', name: checked(name), type }), headers: { 'Content-Type': type } }),
    downloadAddress: async ({ name, disposition, baseUrl }) => ({ kind: 'signed', url: baseUrl + addresses.sign({ method: 'GET', name: checked(name), disposition }) }),
    async metadata(name): Promise<MetadataOutcome> {
      const found = await files.find(checked(name))
      if (found.kind !== 'found') return found
      await found.handle.close()
      return { kind: 'found', type: found.type, bytes: found.bytes, created: found.created }
    },
    async content(name, most): Promise<ContentOutcome> {
      const found = await files.find(checked(name))
      if (found.kind !== 'found') return found
      try {
        if (found.bytes > most) return { kind: 'too-large', bytes: found.bytes }
        const content = Buffer.alloc(found.bytes)
        for (let at = 0; at < content.length; ) {
          const { bytesRead } = await found.handle.read(content, at, content.length - at, found.start + at)
          // Files do not change: somebody else's hand was here.
          if (bytesRead === 0) return { kind: 'failed', reason: `${name} is shorter than its size` }
          at += bytesRead
        }
        return { kind: 'found', type: found.type, content }
      } catch (error) {
        return { kind: 'failed', reason: reasonOf(error) }
      } finally {
        await found.handle.close()
      }
    },
    async store(name, type, content): Promise<StoreOutcome> {
      const outcome = await files.write(checked(name), { type, content: only(content), limitBytes: content.length })
      assert(outcome.kind !== 'cut' && outcome.kind !== 'too-large', 'content of this process broke off')
      return outcome
    },
    before: (next) => (req, res) => (routes.answers(req) ? routes.handle(req, res) : next(req, res)),
    async close() {
      await routes.close()
      files.close()
    },
  }
}
