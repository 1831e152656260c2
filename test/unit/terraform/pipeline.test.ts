/** Steps of the pipeline do what can be done: scripts that exist, files that are there, in an order that holds. */
import { expect, test } from '@jest/globals'
import { existsSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { ROOT } from '../style/source.ts'

type Step = { readonly id: string; readonly name: string; readonly script: string; readonly waitFor?: readonly string[] }
type Build = { readonly steps: readonly Step[]; readonly options: { readonly automapSubstitutions: boolean } }

const read = (file: string): Build => parse(readFileSync(ROOT + file, 'utf8')) as Build
const publish = read('cloudbuild.yaml')
const deploy = read('terraform/cloudbuild.deploy.yaml')
const scripts = Object.keys((JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { scripts: Record<string, string> }).scripts)

test('npm scripts of steps are scripts of package.json', () => {
  const named = [...publish.steps, ...deploy.steps].flatMap(({ id, script }) => [...script.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map((match) => `${id}: ${match[1]}`))
  expect(named.length).toBeGreaterThan(1)
  expect(named.filter((line) => !scripts.includes(line.split(': ')[1]!))).toEqual([])
})

test('publish verifies before it pushes, scans before it plans, and asks last', () => {
  expect(publish.steps.map(({ id }) => id)).toEqual(['verify', 'build', 'push', 'scan', 'source', 'plan', 'ask'])
  expect(publish.steps.find(({ id }) => id === 'push')!.waitFor).toEqual(['verify', 'build'])
  expect(publish.steps.filter(({ script }) => /terraform apply|run services update|run deploy/.test(script))).toEqual([])
})

test('deploy rolls after it applies, tries the API, and rolls back', () => {
  expect(deploy.steps.map(({ id }) => id)).toEqual(['fetch', 'apply', 'roll', 'smoke', 'roll-back', 'roll-processes-back'])
  for (const { id, script } of deploy.steps.slice(-2)) expect({ id, guarded: script.includes('[ -e /workspace/failed ] || exit 0') }).toEqual({ id, guarded: true })
})

test('files that steps name are there', () => {
  const named = ['functions/Dockerfile', 'terraform/roll.sh', 'package.json', 'package-lock.json', 'functions', 'shared', 'terraform/cloudbuild.deploy.yaml']
  expect(named.filter((path) => !existsSync(ROOT + path))).toEqual([])
})

test('a step writes its substitutions into its environment, never into its text', () => {
  for (const build of [publish, deploy]) {
    expect(build.options.automapSubstitutions).toBe(true)
    for (const { id, script } of build.steps) expect({ id, found: script.match(/\$\$|\$\{_/) }).toEqual({ id, found: null })
  }
})

test('the image ends in an entry that is there, and starts node itself', () => {
  const dockerfile = readFileSync(`${ROOT}functions/Dockerfile`, 'utf8')
  expect(dockerfile).toMatch(/^ENTRYPOINT \["node"\]$/m)
  expect(existsSync(ROOT + /^CMD \["([^"]+)"\]$/m.exec(dockerfile)![1]!)).toBe(true)
  expect(dockerfile).toMatch(/^USER node$/m)
})
