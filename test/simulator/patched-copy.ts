/** A copy of the simulator over a `shared/` in which one safeguard is switched off, and what its seeds find. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Edit } from './safeguards.ts'

const ROOT = new URL('../../', import.meta.url).pathname

export class PatchedCopy {
  readonly #folder: string

  /** Throws where a text that is to be replaced is not there exactly once. */
  constructor(edits: readonly Edit[]) {
    this.#folder = mkdtempSync(join(tmpdir(), 'state-platform-safeguards-'))
    try {
      for (const part of ['package.json', 'shared', 'test/simulator']) cpSync(join(ROOT, part), join(this.#folder, part), { recursive: true })
      symlinkSync(join(ROOT, 'node_modules'), join(this.#folder, 'node_modules'))
      for (const { file, find, replace } of edits) {
        const path = join(this.#folder, file)
        const pieces = readFileSync(path, 'utf8').split(find)
        if (pieces.length !== 2) throw new Error(`${file} holds ${pieces.length - 1} times, and not once: ${find}`)
        writeFileSync(path, pieces.join(replace))
      }
    } catch (error) {
      this.remove()
      throw error
    }
  }

  /** What `run.ts` prints with these arguments. */
  run(args: readonly string[]): Promise<string> {
    return new Promise((resolve) => {
      const child = spawn(process.execPath, [join(this.#folder, 'test/simulator/run.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      const end = (): void => void child.kill('SIGKILL')
      process.once('exit', end)
      let text = ''
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (text += part))
      child.once('close', () => {
        process.off('exit', end)
        resolve(text)
      })
    })
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
