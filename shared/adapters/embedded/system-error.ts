/**
 * Reading errors of Node's system calls. By their fields, not by `instanceof Error`: a test runner runs modules in a
 * realm of its own, and Node's errors come from another one.
 */

/** `ENOENT` and the like. */
export function errorCode(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

export function reasonOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error)
}
