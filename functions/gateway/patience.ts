/** What cannot be done now is tried again for a while: agents do not try again by themselves, and a leader is away for seconds. */
import { limits } from '#shared/limits.ts'

/** `isOver`: nobody waits for it any more. */
export async function patiently<A extends { readonly kind: string }>(attempt: () => Promise<A>, isOver: () => boolean): Promise<A> {
  let answer = await attempt()
  let pauseMs: number = limits.agentRetryFirstMs
  for (let tries = 1; answer.kind === 'unavailable' && tries < limits.agentTries && !isOver(); tries++) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs).unref())
    pauseMs = Math.min(2 * pauseMs, limits.agentRetryMaxMs)
    answer = await attempt()
  }
  return answer
}
