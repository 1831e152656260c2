/**
 * The thread that an object writer of the embedded cold storage runs in: one put in, one outcome back, one at a time.
 * What is left to tidy is done after the outcome was sent.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '#shared/assert.ts'
import type { PutOutcome } from '#shared/ports/cold-storage.ts'
import { openObjectWriter } from './object-writer.ts'

export type ThreadData = { readonly directory: string; readonly temporaryPrefix: string }
export type ToThread = { readonly kind: 'put'; readonly name: string; readonly bytes: Uint8Array } | { readonly kind: 'close' }
export type FromThread =
  | { readonly kind: 'outcome'; readonly outcome: PutOutcome }
  | { readonly kind: 'fault'; readonly what: string; readonly reason: string }

assert(parentPort !== null, 'object-writer-thread is started by cold-storage.ts only')
const port = parentPort
const send = (message: FromThread): void => port.postMessage(message)

const { directory, temporaryPrefix } = workerData as ThreadData
const writer = openObjectWriter({ directory, temporaryPrefix, onFault: (fault) => send({ kind: 'fault', ...fault }) })
writer.tidy()

port.on('message', (message: ToThread) => {
  if (message.kind === 'close') {
    writer.close()
    port.close()
    return
  }
  send({ kind: 'outcome', outcome: writer.put(message.name, message.bytes) })
  writer.tidy()
})
