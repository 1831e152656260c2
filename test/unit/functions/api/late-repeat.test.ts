/** domains.md: a repeat finishes what is left of a patch, and does nothing twice. */
import { expect, test } from '@jest/globals'
import { runPatch, type Loop } from '#functions/api/request-loop.ts'
import type { ClientPatch } from '#functions/api/client-patch.ts'
import type { StateId } from '#shared/ids.ts'
import { limits } from '#shared/limits.ts'

const STORED_MS = 1_000_000

/** How often the post-persistence handler has run, for a patch that was stored then and is answered now. */
async function runs(answer: { readonly replayed: boolean }, nowMs: number): Promise<number> {
  let count = 0
  const loop = {
    cluster: { patch: () => Promise.resolve({ kind: 'stored', ii: 1, updated: STORED_MS, activeType: '', state: undefined, ...answer }) },
    handlers: { of: () => ({ exports: { prePersistence: false, postPersistence: true } }), after: () => Promise.resolve(String((count += 1))) },
    sideEffects: { imageFor: () => undefined },
    mirroring: { imageFor: () => undefined, after: () => undefined },
    clock: { wallMs: () => nowMs },
  } as unknown as Loop
  const patch: ClientPatch = {
    caller: { user: 'u', domain: 'd' },
    target: { kind: 'id', id: '00000000-0000-4000-8000-000000000000' as StateId, creation: undefined },
    ops: [], text: '[]', key: 'k'.repeat(16), bodyDigest: 'b'.repeat(16), expected: undefined, returnState: false,
  }
  await runPatch(loop, patch)
  return count
}

test('a repeat that comes soon runs the post-persistence handler again: the first try may have ended before it', async () => {
  expect(await runs({ replayed: false }, STORED_MS)).toBe(1)
  expect(await runs({ replayed: true }, STORED_MS + limits.handlerRepeatMs)).toBe(1)
})

test('one that comes when the keys of its agent may be forgotten does not', async () => {
  expect(await runs({ replayed: true }, STORED_MS + limits.handlerRepeatMs + 1)).toBe(0)
  expect(await runs({ replayed: false }, STORED_MS + limits.handlerRepeatMs + 1)).toBe(1)
})
