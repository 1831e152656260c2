/** What Terraform tells each part is what the settings know, is enough, and starts something that is there. */
import { expect, test } from '@jest/globals'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readSettings } from '#shared/settings.ts'
import { sources } from '../style/source.ts'
import { configuration, members, type Body } from './configuration.ts'
import { variablesByPart } from './variables.ts'

/** Set by Cloud Run itself, and refused when it is set by anybody else. */
const RESERVED = ['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION']
const CALLER = ['GOOGLE_CLOUD_PROJECT', 'FIRESTORE_DATABASE', 'STATE_PROCESSES']
const DATABASE = ['CLOUD_SQL_INSTANCE', 'CLOUD_SQL_USER', 'DATABASE_NAME', 'DOMAIN_ROLES_KEY', 'MAX_DATABASE_CONNECTIONS']
const MIRRORING = [...CALLER, ...DATABASE, 'COLD_STORAGE_BUCKET', 'UPLOADS_BUCKET', 'LINK_ID_TOKENS']
const LOOP = [...MIRRORING, 'UPLOADS_SIGNER', 'NAME_KEY', 'DOMAIN_WORKER_URL', 'PUBLIC_URL']
const DOOR = [...LOOP, 'BEARER_KEY', 'OPERATOR_TOKEN']
const CALLED = ['HOST', 'ADDRESS', 'LINK_ID_TOKENS', 'LINK_CALLERS']
/** What a part cannot do its work without on Google Cloud. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  'state-process': [...CALLED, 'PROCESS_NAME', 'COLD_STORAGE_BUCKET', 'FAN_OUT_TOPIC', ...CALLER],
  'domain-worker': [...CALLED, 'ID_TOKEN_KEYS'],
  gateway: ['HOST', ...DOOR],
  api: DOOR,
  mirror: MIRRORING,
  retention: ['GOOGLE_CLOUD_PROJECT', 'COLD_STORAGE_BUCKET', 'RETENTION_HOURS'],
  'close-sessions': LOOP,
}

const main = await configuration('terraform')
const environment = main.locals['environment'] as Body
const told = await variablesByPart()

test('every part of the table is one that is deployed, and the other way round', () => {
  const services = main.resources.filter(({ type }) => type === 'google_cloud_run_v2_service').map(({ name }) => name.replaceAll('_', '-'))
  expect(Object.keys(told).sort()).toEqual([...services, ...members(main.modules['function']!['for_each'])].sort())
  expect(Object.keys(told).sort()).toEqual(Object.keys(REQUIRED).sort())
})

/** Read by functions-framework. */
const OF_THE_FRAMEWORK = ['NODE_ENV']

test('every variable that Terraform sets is a setting', () => {
  const read = readSettings({})
  const known = read.kind === 'settings' ? Object.keys(read.settings) : []
  expect(known).toContain('PORT')
  for (const [part, names] of Object.entries(told)) {
    expect({ part, unknown: names.filter((name) => !known.includes(name) && !OF_THE_FRAMEWORK.includes(name)) }).toEqual({ part, unknown: [] })
  }
})

test('no part lacks a variable that it needs, and none is reserved or set twice', () => {
  for (const [part, names] of Object.entries(told)) {
    expect({ part, missing: REQUIRED[part]!.filter((name) => !names.includes(name)) }).toEqual({ part, missing: [] })
    expect({ part, reserved: names.filter((name) => RESERVED.includes(name)) }).toEqual({ part, reserved: [] })
    expect(new Set(names).size).toBe(names.length)
  }
})

test('keys come from Secret Manager and from nowhere else', () => {
  const plain = Object.keys(environment).flatMap((part) => members(environment[part], main.locals).filter((name) => /KEY$|TOKEN$|SECRET|PASSWORD/.test(name)).map((name) => `${part}: ${name}`))
  expect(plain).toEqual([])
})

test('every service has an entry that is there', () => {
  const services = main.resources.filter(({ type }) => type === 'google_cloud_run_v2_service' && !type.includes('iam'))
  const entries = services.map(({ body }) => /"(functions\/[a-z-]+\/index\.ts)"/.exec(JSON.stringify(body).replaceAll('\\"', '"'))?.[1])
  expect(entries.toSorted()).toEqual(['functions/domain-worker/index.ts', 'functions/gateway/index.ts', 'functions/state-process/index.ts'])
  for (const entry of entries) expect(existsSync(join(import.meta.dirname, '../../..', entry!))).toBe(true)
})

test('every function has a target that is registered', () => {
  const [index] = sources('functions').filter(({ path }) => path === 'functions/index.ts')
  const registered = [...index!.text.matchAll(/^(?:http|cloudEvent)\('([a-z-]+)'/gm)].map((found) => found[1]!)
  expect(registered.sort()).toEqual(members(main.modules['function']!['for_each']).sort())
})

test('messages that alerts count are written by the code', () => {
  const code = sources('shared', 'functions').map(({ text }) => text).join('\n')
  const counted = Object.values(main.locals['counted_messages'] as Record<string, string[]>).flat()
  expect(counted.length).toBeGreaterThan(8)
  expect(counted.filter((message) => !code.includes(message))).toEqual([])
})
