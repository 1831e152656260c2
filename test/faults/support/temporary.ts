/** Folders of a test that go when it ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LastWill } from './last-will.ts'

const folders = new Map<string, LastWill>()

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'state-platform-faults-'))
  // A moment later: whoever writes into it is being killed as well.
  folders.set(folder, new LastWill('sleep 1; rm -rf -- "$1"', folder))
  return folder
}

export function removeTemporaryFolders(): void {
  for (const [folder, will] of folders) {
    rmSync(folder, { recursive: true, force: true })
    will.revoke()
  }
  folders.clear()
}
