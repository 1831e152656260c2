/** What Terraform tells each part is what the settings know, is enough, and starts something that is there. */
import { expect, test } from '@jest/globals'
import { sources } from '../style/source.ts'
import { configuration, members, type Body } from './configuration.ts'

/** Set by Cloud Run itself, and refused when it is set by anybody else. */
const RESERVED = ['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION']
const CALLER = ['GOOGLE_CLOUD_PROJECT', 'FIRESTORE_DATABASE', 'STATE_PROCESSES']
const DATABASE = ['CLOUD_SQL_INSTANCE', 'CLOUD_SQL_USER', 'DATABASE_NAME', 'DOMAIN_ROLES_KEY', 'MAX_DATABASE_CONNECTIONS']
const DOOR = [...CALLER, ...DATABASE, 'UPLOADS_BUCKET', 'UPLOADS_SIGNER', 'BEARER_KEY', 'NAME_KEY', 'DOMAIN_WORKER_URL', 'PUBLIC_URL', 'OPERATOR_TOKEN']
/** What a part cannot do its work without on Google Cloud. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  'state-process': ['HOST', 'PROCESS_NAME', 'ADDRESS', 'COLD_STORAGE_BUCKET', 'FAN_OUT_TOPIC', ...CALLER],
  'domain-worker': ['HOST'],
  gateway: ['HOST', ...DOOR],
  api: DOOR,
  mirror: [...CALLER, ...DATABASE],
  retention: ['GOOGLE_CLOUD_PROJECT', 'COLD_STORAGE_BUCKET', 'RETENTION_HOURS'],
  'close-sessions': [...CALLER, 'NAME_KEY', 'DOMAIN_WORKER_URL'],
}

const main = await configuration('terraform')
const environment = main.locals['environment'] as Body
const secrets = main.locals['secrets'] as Body
/** Each part's variables; a state process has two more beside the table. */
const told: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.keys(environment).map((part) => [
    part,
    [...members(environment[part]), ...(secrets[part] === undefined ? [] : members(secrets[part])), ...(part === 'state-process' ? ownOfStateProcess() : [])],
  ]),
)

function ownOfStateProcess(): string[] {
  const text = JSON.stringify(main.resources.find(({ name }) => name === 'state_process')?.body)
  return ['PROCESS_NAME', 'ADDRESS'].filter((name) => text.includes(`${name} = `))
}

test('every part of the table is one that is deployed, and the other way round', () => {
  const services = main.resources.filter(({ type }) => type === 'google_cloud_run_v2_service').map(({ name }) => name.replaceAll('_', '-'))
  expect(Object.keys(told).sort()).toEqual([...services, ...members(main.modules['function']!['for_each'])].sort())
  expect(Object.keys(told).sort()).toEqual(Object.keys(REQUIRED).sort())
})

test.todo('every variable that Terraform sets is a setting: when the entries on Google Cloud are composed')

test('no part lacks a variable that it needs, and none is reserved or set twice', () => {
  for (const [part, names] of Object.entries(told)) {
    expect({ part, missing: REQUIRED[part]!.filter((name) => !names.includes(name)) }).toEqual({ part, missing: [] })
    expect({ part, reserved: names.filter((name) => RESERVED.includes(name)) }).toEqual({ part, reserved: [] })
    expect(new Set(names).size).toBe(names.length)
  }
})

test('keys come from Secret Manager and from nowhere else', () => {
  const plain = Object.keys(environment).flatMap((part) => members(environment[part]).filter((name) => /KEY|TOKEN|SECRET|PASSWORD/.test(name)).map((name) => `${part}: ${name}`))
  expect(plain).toEqual([])
})

test.todo('every service has an entry that is there: when the entries on Google Cloud are composed')

test.todo('every function has a target that is registered: when the entries on Google Cloud are composed')

test('messages that alerts count are written by the code', () => {
  const code = sources('shared', 'functions').map(({ text }) => text).join('\n')
  const counted = Object.values(main.locals['counted_messages'] as Record<string, string[]>).flat()
  expect(counted.length).toBeGreaterThan(8)
  expect(counted.filter((message) => !code.includes(message))).toEqual([])
})
