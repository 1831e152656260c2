/**
 * A gRPC server of the emulators: methods by name over the protos that ship with a client library, faults included.
 *
 * Owns: the server's socket. Does not own: what the methods do. Talks to: unmodified clients.
 * A method that a service has in its proto and that is not given here answers UNIMPLEMENTED.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { loadPackageDefinition, Server, ServerCredentials, type sendUnaryData, type ServerDuplexStream, type ServerUnaryCall, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { AssertionError, unreachable } from '#shared/assert.ts'
import type { Faults, Service } from './faults.ts'
import { aborted, RpcError, unavailable } from './grpc-status.ts'

/** A message as `proto-loader` gives and takes it. */
export type Fields = Readonly<Record<string, unknown>>
export type UnaryMethod = (request: Fields, signal: AbortSignal) => object | Promise<object>
export type StreamCall = ServerDuplexStream<Fields, object>
export type StreamMethod = (call: StreamCall) => void

export type GrpcService = {
  /** `google.pubsub.v1.Publisher` */
  readonly name: string
  readonly unary: Readonly<Record<string, UnaryMethod>>
  readonly streams?: Readonly<Record<string, StreamMethod>>
}

export type GrpcOptions = {
  readonly host: string
  readonly port: number
  readonly service: Service
  readonly faults: Faults
  /** Package whose `build/protos` has the file. */
  readonly package: string
  readonly proto: string
  readonly services: readonly GrpcService[]
  /** For faults: the resource that a request is about. */
  readonly resourceOf: (request: Fields) => string
}

export type GrpcServer = { readonly port: number; stop(): void }

const MESSAGE_BYTES = 16 * 1024 * 1024

const LOAD = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: false } as const

/** Rejects where the port cannot be had. */
export async function startGrpcServer(options: GrpcOptions): Promise<GrpcServer> {
  const server = new Server({ 'grpc.max_receive_message_length': MESSAGE_BYTES, 'grpc.max_send_message_length': MESSAGE_BYTES })
  const loaded = loadPackageDefinition(loadSync(options.proto, { ...LOAD, includeDirs: protoFolders(options.package) }))
  for (const service of options.services) server.addService(definitionOf(loaded, service.name), implementation(options, service))
  const port = await new Promise<number>((done, reject) => {
    server.bindAsync(`${options.host}:${options.port}`, ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : done(bound)))
  })
  return { port, stop: () => server.forceShutdown() }
}

/** The package's own protos, and those of Google's that they build on: both packages have `build/src/index.js` as their entry. */
function protoFolders(name: string): string[] {
  const entry = createRequire(import.meta.url).resolve(name)
  return [entry, createRequire(entry).resolve('google-gax')].map((path) => join(dirname(path), '..', 'protos'))
}

function definitionOf(loaded: ReturnType<typeof loadPackageDefinition>, name: string): ServiceDefinition {
  let at: unknown = loaded
  for (const part of name.split('.')) at = (at as Record<string, unknown>)[part]
  return (at as { readonly service: ServiceDefinition }).service
}

function implementation(options: GrpcOptions, { unary, streams = {} }: GrpcService): UntypedServiceImplementation {
  const made: UntypedServiceImplementation = {}
  for (const [operation, method] of Object.entries(unary)) {
    made[operation] = (call: ServerUnaryCall<Fields, object>, callback: sendUnaryData<object>): void => {
      void respond(() => answer(options, operation, call, method), callback)
    }
  }
  for (const [operation, method] of Object.entries(streams)) {
    made[operation] = (call: StreamCall): void => {
      const fault = options.faults.next({ service: options.service, operation, resource: '' })
      if (fault === undefined) return method(call)
      call.emit('error', statusOf(fault.kind === 'aborted' ? aborted() : unavailable()))
    }
  }
  return made
}

async function respond(work: () => Promise<object>, callback: sendUnaryData<object>): Promise<void> {
  let value: object
  try {
    value = await work()
  } catch (error) {
    return callback(statusOf(error))
  }
  callback(null, value)
}

async function answer({ faults, service, resourceOf }: GrpcOptions, operation: string, call: ServerUnaryCall<Fields, object>, method: UnaryMethod): Promise<object> {
  const gone = new AbortController()
  call.on('cancelled', () => gone.abort())
  const fault = faults.next({ service, operation, resource: resourceOf(call.request) })
  switch (fault?.kind) {
    case undefined:
      return method(call.request, gone.signal)
    case 'unavailable':
      throw unavailable()
    case 'aborted':
      throw aborted()
    case 'slow':
      await new Promise((done) => setTimeout(done, fault?.kind === 'slow' ? fault.delayMs : 0).unref())
      return method(call.request, gone.signal)
    case 'answer-lost':
      await method(call.request, gone.signal)
      throw unavailable()
    default:
      return unreachable(fault)
  }
}

/** An error that is no answer is the emulator's own fault, and stops it. */
function statusOf(error: unknown): { code: number; details: string } {
  if (error instanceof RpcError) return { code: error.code, details: error.details }
  queueMicrotask(() => {
    throw error instanceof Error ? error : new AssertionError(String(error))
  })
  return { code: 13, details: 'Internal error encountered.' }
}
