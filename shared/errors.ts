/**
 * Every problem that the api answers, in one table: the HTTP status, the problem's `type`
 * (`urn:problem:<name>`) and its title (RFC 9457). Answers and the OpenAPI document are both made from it.
 */
export const problems = {
  'bad-request': { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'No valid bearer' },
  forbidden: { status: 403, title: 'Not allowed' },
  'not-found': { status: 404, title: 'There is nothing here' },
  'unknown-domain': { status: 404, title: 'Nobody has claimed this domain' },
  'method-not-allowed': { status: 405, title: 'This route has other methods' },
  replay: { status: 409, title: 'The index lies ahead: send the skipped patches first' },
  'name-taken': { status: 409, title: 'Another state of this user has the name' },
  'id-taken': { status: 409, title: 'There is a state of this id' },
  'domain-taken': { status: 409, title: 'The domain has an admin' },
  'out-of-sync': { status: 412, title: 'The state has moved on' },
  'too-large': { status: 413, title: 'A limit of size was passed' },
  'unsupported-media-type': { status: 415, title: 'Not a content type of this route' },
  unprocessable: { status: 422, title: 'The patch does not apply' },
  'query-failed': { status: 422, title: 'The query failed' },
  'invalid-config': { status: 422, title: 'The configuration is not valid' },
  rejected: { status: 422, title: "The domain's rules refuse the patch" },
  'handler-error': { status: 422, title: "The domain's handler failed" },
  'key-reused': { status: 422, title: 'The idempotency key stands for another body' },
  internal: { status: 500, title: 'Something broke on our side' },
  handler: { status: 504, title: "The domain's handler took more time or memory than it may" },
  unavailable: { status: 503, title: 'Not served just now' },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>

export type ProblemName = keyof typeof problems

export function problemType(name: ProblemName): string {
  return `urn:problem:${name}`
}
