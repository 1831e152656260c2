/** What README.md says can be done can be done, and what can be done it says. */
import { expect, test } from '@jest/globals'
import { existsSync, readFileSync } from 'node:fs'
import { ROOT } from './source.ts'

/** Scripts that npm runs without `run`. */
const SHORT = new Set(['start', 'test'])

function scriptFaults(readme: string, scripts: readonly string[]): string[] {
  const named = new Set([...readme.matchAll(/\bnpm (?:run )?(?:-\S+ )*([a-z][\w:-]*)/g)].map((match) => match[1]!))
  const faults: string[] = []
  for (const match of readme.matchAll(/\bnpm run (?:-\S+ )*([a-z][\w:-]*)/g)) if (!scripts.includes(match[1]!)) faults.push(`README.md names "npm run ${match[1]}", which is no script`)
  for (const script of scripts) if (!named.has(script)) faults.push(`README.md does not name "npm ${SHORT.has(script) ? '' : 'run '}${script}"`)
  return faults
}

/** Every folder of ours that is named, in the map or in a sentence. */
function folderFaults(readme: string, exists: (path: string) => boolean): string[] {
  const named = new Set([...readme.matchAll(/(?<![\w./-])(?:shared|functions|test|emulators|terraform|\.ci)\/[\w./-]*/g)].map((match) => match[0].replace(/[.,:]+$/, '')))
  return [...named].filter((path) => !exists(path)).map((path) => `README.md names ${path}, which is not there`)
}

const exists = existsSync(`${ROOT}README.md`)
const readme = exists ? readFileSync(`${ROOT}README.md`, 'utf8') : ''
const scripts = Object.keys((JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { scripts: Record<string, string> }).scripts)

// As long as there is none, it makes no claims.
const whenThere = exists ? test : test.skip
whenThere('README.md names every script, and no other', () => expect(scriptFaults(readme, scripts)).toEqual([]))
whenThere('the folders that README.md names are there', () => expect(folderFaults(readme, (path) => existsSync(ROOT + path))).toEqual([]))

test('faults are found', () => {
  expect(scriptFaults('`npm start`, `npm run -s sim -- --seed 1`, npm run gone', ['start', 'sim', 'bench'])).toEqual([
    'README.md names "npm run gone", which is no script',
    'README.md does not name "npm run bench"',
  ])
  expect(folderFaults('    shared/protocol/   core\nsee `functions/api/`, test/nothing.', (path) => path !== 'test/nothing')).toEqual(['README.md names test/nothing, which is not there'])
})
