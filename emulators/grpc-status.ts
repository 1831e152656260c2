/** Answers of a gRPC emulator that are errors, as the real service words them. */
import { status as codes } from '@grpc/grpc-js'

/** Thrown by a method, and sent as its status. */
export class RpcError extends Error {
  override name = 'RpcError'
  readonly code: codes
  readonly details: string

  constructor(code: codes, details: string) {
    super(details)
    this.code = code
    this.details = details
  }
}

export const notFound = (what: string): RpcError => new RpcError(codes.NOT_FOUND, `Resource not found (resource=${what}).`)
export const alreadyExists = (what: string): RpcError => new RpcError(codes.ALREADY_EXISTS, `Resource already exists in the project (resource=${what}).`)
export const invalid = (why: string): RpcError => new RpcError(codes.INVALID_ARGUMENT, why)
export const unimplemented = (what: string): RpcError => new RpcError(codes.UNIMPLEMENTED, `${what} is not part of this emulator`)
export const unavailable = (): RpcError => new RpcError(codes.UNAVAILABLE, 'The service was unable to fulfill your request. Please try again.')
export const aborted = (): RpcError => new RpcError(codes.ABORTED, 'The operation was aborted. Please try again.')
