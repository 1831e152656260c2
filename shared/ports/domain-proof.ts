/** Whether a domain shows a token: the proof that who claims it can speak for it. No method rejects. */
export type ProofOutcome =
  | { readonly kind: 'shown' }
  /** For whoever claims: what was looked at, in words. */
  | { readonly kind: 'not-shown'; readonly reason: string }

export interface DomainProof {
  /** Looks once, for at most `limits.claimLookTimeoutMs`. `domain`: a host, with port if it has one. */
  look(domain: string, token: string): Promise<ProofOutcome>
}
