/** Least roles, nothing public but what is meant to be, no secret in the configuration. */
import { describe, expect, test } from '@jest/globals'
import { readdirSync, readFileSync } from 'node:fs'
import { ROOT } from '../style/source.ts'
import { configuration } from './configuration.ts'

/** Roles of the account that applies approved plans; nobody else has an admin's role. */
const DEPLOY_ONLY = 'terraform/bootstrap'

const folders = ['terraform', 'terraform/modules/function', DEPLOY_ONLY]
const all = await Promise.all(folders.map(async (folder) => ({ folder, ...(await configuration(folder)) })))
const rolesOf = (text: string): string[] => [...text.matchAll(/"(roles\/[\w.]+)"/g)].map((match) => match[1]!)

const isBasic = (role: string): boolean => /^roles\/(?:owner|editor|viewer|browser)$/.test(role)
const isWide = (role: string): boolean => /(?:admin|owner|editor)$/i.test(role)

test('no basic role is given, to anybody', () => expect(all.flatMap(({ text }) => rolesOf(text)).filter(isBasic)).toEqual([]))

test('parts have no role of an admin', () => {
  expect(all.filter(({ folder }) => folder !== DEPLOY_ONLY).flatMap(({ text }) => rolesOf(text)).filter(isWide)).toEqual([])
})

test('nothing is open to everybody but api and gateway, which check their callers', () => {
  for (const { text } of all) expect(text).not.toMatch(/allUsers|allAuthenticatedUsers/)
  const open = all.flatMap(({ resources }) => resources.filter(({ body }) => body['invoker_iam_disabled'] === true).map(({ name }) => name))
  expect(open).toEqual(['gateway'])
  const functions = String(JSON.stringify(all[0]!.modules['function']!['for_each']))
  expect([...functions.matchAll(/public\W+(?:true|=\s*true)/g)]).toHaveLength(1)
  expect(functions).toMatch(/^[^}]*api[^}]*public\W+true/)
})

test('IAM is added to, never replaced: no binding and no policy', () => {
  const replacing = all.flatMap(({ resources }) => resources.filter(({ type }) => /_iam_(?:binding|policy)$/.test(type)).map(({ type, name }) => `${type}.${name}`))
  expect(replacing).toEqual([])
})

test('no account has a key, no secret has its content here', () => {
  const types = all.flatMap(({ resources }) => resources.map(({ type }) => type))
  expect(types.filter((type) => type === 'google_service_account_key' || type === 'google_secret_manager_secret_version')).toEqual([])
})

test('what must not be lost cannot be destroyed', () => {
  const guarded = all.flatMap(({ resources }) => resources.filter(({ body }) => JSON.stringify(body).includes('"prevent_destroy":true')).map(({ type, name }) => `${type}.${name}`))
  for (const name of ['google_storage_bucket.cold_storage', 'google_storage_bucket.uploads', 'google_sql_database_instance.mirror', 'google_secret_manager_secret.this', 'google_storage_bucket.terraform']) expect(guarded).toContain(name)
})

describe('tfvars', () => {
  const SECRET = /secret|password|private|token *=|[A-Za-z0-9+/]{40,}|-----BEGIN/i
  test('hold no secret', () => {
    const files = readdirSync(`${ROOT}terraform/environments`)
    expect(files.sort()).toEqual(['development.tfvars', 'production.tfvars', 'staging.tfvars'])
    for (const file of files) expect(readFileSync(`${ROOT}terraform/environments/${file}`, 'utf8')).not.toMatch(SECRET)
  })
  test('a secret would be found', () => {
    for (const line of ['db_password = "x"', 'operator_token = "x"', 'a = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w"']) expect(line).toMatch(SECRET)
  })
})
