import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A fresh folder, for the test to remove. */
export function makeTemporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'state-platform-test-'))
}

export function removeTemporaryFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true })
}
