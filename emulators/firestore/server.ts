/**
 * The Firestore emulator: what an unmodified `@google-cloud/firestore` uses to write, read and watch documents and whole
 * collections, over gRPC, kept on disk. Not part of it: conditions and orders in queries, transactions, field paths below the first level.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerWritableStream } from '@grpc/grpc-js'
import type { Faults } from '../faults.ts'
import { startGrpcServer, type Fields, type StreamCall, type UnaryMethod } from '../grpc-server.ts'
import { RpcError, unimplemented } from '../grpc-status.ts'
import { openListening } from './listening.ts'
import { collectionOf, documentMessage, fieldsOf, listOf, textOf, timestampOf, writeOf } from './messages.ts'
import { FirestoreStore } from './store.ts'

export type FirestoreEmulator = {
  /** `host:port`, as `FIRESTORE_EMULATOR_HOST` has it. */
  readonly address: string
  stop(): Promise<void>
}

export type FirestoreOptions = {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Undefined: in memory. */
  readonly folder: string | undefined
  readonly faults: Faults
  readonly now?: () => number
}

/** Rejects where the port or the folder cannot be had. */
export async function startFirestore({ host, port, folder, faults, now = Date.now }: FirestoreOptions): Promise<FirestoreEmulator> {
  if (folder !== undefined) mkdirSync(folder, { recursive: true, mode: 0o700 })
  const store = new FirestoreStore(folder === undefined ? ':memory:' : join(folder, 'firestore.sqlite'), now)
  const server = await startGrpcServer({
    host,
    port,
    faults,
    service: 'firestore',
    package: '@google-cloud/firestore',
    proto: 'google/firestore/v1/firestore.proto',
    services: [
      {
        name: 'google.firestore.v1.Firestore',
        unary: methods(store),
        streams: {
          BatchGetDocuments: (call) => streamed(call, (request) => batchGet(store, request)),
          RunQuery: (call) => streamed(call, (request) => runQuery(store, request)),
          Listen: (call) => openListening(store, call),
        },
      },
    ],
    resourceOf: (request) => [textOf(request['database']), ...listOf(request['writes']).map((write) => textOf(write['delete']) || textOf(fieldsOf(write['update'])['name']))].join(' '),
  })
  let stopped = false
  return {
    address: `${host}:${server.port}`,
    stop: () => {
      if (stopped) return Promise.resolve()
      stopped = true
      server.stop()
      store.close()
      return Promise.resolve()
    },
  }
}

function methods(store: FirestoreStore): Record<string, UnaryMethod> {
  return {
    Commit: (request) => {
      if ((request['transaction'] as Buffer | undefined)?.length) throw unimplemented('a transaction')
      const writes = listOf(request['writes']).map(writeOf)
      const time = timestampOf(store.commit(writes).atUs)
      return { writeResults: writes.map(() => ({ updateTime: time, transformResults: [] })), commitTime: time }
    },
    ListDocuments: (request) => {
      const documents = store.list(`${textOf(request['parent'])}/${textOf(request['collectionId'])}`)
      return { documents: documents.map(documentMessage), nextPageToken: '' }
    },
  }
}

function batchGet(store: FirestoreStore, request: Fields): Fields[] {
  const readTime = timestampOf(store.nowUs())
  return (request['documents'] as readonly string[]).map((name) => {
    const document = store.get(name)
    return document === undefined ? { missing: name, readTime } : { found: documentMessage(document), readTime }
  })
}

function runQuery(store: FirestoreStore, request: Fields): Fields[] {
  const readTime = timestampOf(store.nowUs())
  const documents = store.list(collectionOf(textOf(request['parent']), fieldsOf(request['structuredQuery'])))
  return [...documents.map((document) => ({ document: documentMessage(document), readTime })), { readTime }]
}

/** Methods whose request is one message: the frame has them in one shape with those that are streams both ways. */
function streamed(call: StreamCall, answer: (request: Fields) => readonly Fields[]): void {
  const to = call as unknown as ServerWritableStream<Fields, object>
  try {
    for (const message of answer(to.request)) to.write(message)
    to.end()
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    to.emit('error', { code: error.code, details: error.details })
  }
}
