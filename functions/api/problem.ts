/** Problem documents (RFC 9457) from the one error table. */
import { problemType, problems } from '#shared/errors.ts'
import type { ProblemName } from '#shared/errors.ts'

export type ProblemDetails = {
  /** For the client's developer; names the place of a fault. */
  readonly detail?: string | undefined
  /** Members of this problem's own: `ii`, `expected`, `limit`, `op`, `reason` ... */
  readonly members?: { readonly [member: string]: unknown } | undefined
}

export function problemText(name: ProblemName, { detail, members }: ProblemDetails): string {
  const { status, title } = problems[name]
  return JSON.stringify({ type: problemType(name), title, status, detail, ...members })
}
