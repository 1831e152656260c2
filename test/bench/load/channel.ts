/**
 * What the load is sent through: one channel a client, one request under way in each.
 */

/** `status` is HTTP's; 0: the connection was cut. `ii` is 0 unless the status is 200 and the answer is about this id. */
export type OnAnswer = (status: number, ii: number) => void

export interface Channel {
  /**
   * `replace` (or, made with `op: 'add'`, `add`) of `["active","counter"]`. `value` has 7 digits; `key` is an
   * Idempotency-Key of KEY_LENGTH characters for channels made with `keyed`, empty for others.
   */
  patch(id: string, value: number, key: string, onAnswer: OnAnswer): void
  close(): void
}

export type ChannelOptions = { readonly op: 'add' | 'replace'; readonly keyed: boolean }

export const KEY_LENGTH = 20
/** Values have 7 digits, so that all requests have one length. */
export const VALUE_LEAST = 1_000_000
export const VALUE_GREATEST = 9_999_999
