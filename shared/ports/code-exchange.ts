/** OAuth providers: a code that one of them gave a page, for the ID token of whom it gave it to. */
export type CodeAnswer =
  /** As the provider sent it: to be verified like any other. */
  | { readonly kind: 'id-token'; readonly idToken: string }
  /** No provider of ours, or a code that it does not know. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string }

export interface CodeExchange {
  /** A code is good for one call. */
  exchange(of: { readonly provider: string; readonly code: string }): Promise<CodeAnswer>
}
