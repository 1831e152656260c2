import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { describeSettings, readSettings, type Name, type Settings } from '#shared/settings.ts'

type Presets = Partial<Record<Name, string>>

function settingsOf(environment: Record<string, string>, presets: Presets = {}): Settings {
  const read = readSettings(environment, { presets })
  if (read.kind === 'faults') throw new Error(read.faults.join('\n'))
  return read.settings
}
const faultsOf = (environment: Record<string, string>, presets: Presets = {}): readonly string[] => {
  const read = readSettings(environment, { presets })
  return read.kind === 'faults' ? read.faults : []
}

test('defaults: closed to others, one process, this machine only', () => {
  expect(settingsOf({})).toMatchObject({
    HOST: '127.0.0.1',
    PORT: 8080,
    DATA_DIR: '.data',
    STATE_PROCESSES: 1,
    PUBLIC_URL: undefined,
    OPEN_DOMAINS: false,
    CORS_ORIGINS: [],
    ISSUERS: [],
    LOCAL_ISSUER: false,
    AUTHORIZE_DEFAULT: 'deny',
    CLUSTER_INFO: false,
    OPERATOR_TOKEN: undefined,
    LOG_LEVEL: 'info',
  })
})

test('what the environment says goes before presets, presets before defaults; empty says nothing', () => {
  expect(settingsOf({ PORT: '1' }, { PORT: '2', HOST: 'h' })).toMatchObject({ PORT: 1, HOST: 'h' })
  expect(settingsOf({ PORT: '', OPERATOR_TOKEN: '' }, { PORT: '2' })).toMatchObject({ PORT: 2, OPERATOR_TOKEN: undefined })
})

test('all faults are named at once, each with its setting', () => {
  const faults = faultsOf({ PORT: '65536', STATE_PROCESSES: '0', OPEN_DOMAINS: 'yes', AUTHORIZE_DEFAULT: 'maybe', LOG_LEVEL: 'loud', ISSUERS: '{', HOST: 'ok' })
  expect(faults.map((fault) => fault.split(':')[0])).toEqual(['PORT', 'STATE_PROCESSES', 'OPEN_DOMAINS', 'ISSUERS', 'AUTHORIZE_DEFAULT', 'LOG_LEVEL'])
  expect(faults[0]).toBe('PORT: must be a whole number from 0 to 65535')
})

test('what is needed and missing is named; an empty text is missing', () => {
  const read = readSettings({ NAME_KEY: '', UPLOADS_BUCKET: 'u' }, { required: ['NAME_KEY', 'UPLOADS_BUCKET', 'GOOGLE_CLOUD_PROJECT'] })
  const faults = read.kind === 'faults' ? read.faults.map((fault) => fault.split(':')[0]) : []
  expect(faults).toEqual(['GOOGLE_CLOUD_PROJECT', 'NAME_KEY'])
})

test('a preset that is wrong is a fault as well', () => expect(faultsOf({}, { PORT: 'x' })).toHaveLength(1))

describe('values', () => {
  test.each(['-1', '1.5', '1e3', ' 80', '0x50', 'NaN', '٣'])('no port: %j', (PORT) => expect(faultsOf({ PORT })).toHaveLength(1))
  test.each(['0', '80', '65535'])('a port: %s', (PORT) => expect(settingsOf({ PORT }).PORT).toBe(Number(PORT)))
  test.each(['1', 'TRUE', 'on'])('no flag: %s', (OPEN_DOMAINS) => expect(faultsOf({ OPEN_DOMAINS })).toHaveLength(1))
  test.each(['short', '~'.repeat(64), 'YWJj'.repeat(9)])('no key: %s, and the fault does not say it', (NAME_KEY) => {
    expect(faultsOf({ NAME_KEY })).toEqual(['NAME_KEY: must be base64 of at least 32 bytes'])
  })
  test('a key', () => expect(settingsOf({ NAME_KEY: Buffer.alloc(48, 7).toString('base64') }).NAME_KEY).toEqual(new Uint8Array(48).fill(7)))
  test('a list', () => expect(settingsOf({ CORS_ORIGINS: ' https://a.example , ,https://b.example' }).CORS_ORIGINS).toEqual(['https://a.example', 'https://b.example']))

  test('issuers', () => {
    const list = [
      { issuer: 'https://i.example', audiences: ['a'], jwksUri: 'https://i.example/keys' },
      { issuer: 'j', audiences: ['b', 'c'], jwks: { keys: [] } },
    ]
    expect(settingsOf({ ISSUERS: JSON.stringify(list) }).ISSUERS).toEqual([
      { issuer: 'https://i.example', audiences: ['a'], keys: { jwksUri: 'https://i.example/keys' } },
      { issuer: 'j', audiences: ['b', 'c'], keys: { jwks: { keys: [] } } },
    ])
  })
  test.each([
    ['{}', 'must be a JSON list'],
    ['[1]', '[0].issuer'],
    ['[{"issuer":""}]', '[0].issuer'],
    ['[{"issuer":"i","audiences":[]}]', '[0].audiences'],
    ['[{"issuer":"i","audiences":[1]}]', '[0].audiences'],
    ['[{"issuer":"i","audiences":["a"]}]', '[0] needs jwksUri'],
    ['[{"issuer":"i","audiences":["a"],"jwksUri":"no address"}]', '[0] needs jwksUri'],
    ['[{"issuer":"i","audiences":["a"],"jwks":{}},{"issuer":"i","audiences":["a"]}]', '[1] needs jwksUri'],
  ])('issuers %s: %s', (ISSUERS, fault) => expect(faultsOf({ ISSUERS })).toEqual([expect.stringContaining(`ISSUERS: ${fault}`)]))

  test('providers of log-ins', () => {
    const list = [{ provider: 'p', tokenUri: 'https://p.example/token', clientId: 'i', clientSecret: 's', redirectUri: 'https://auth.example/' }]
    expect(settingsOf({ AGENT_PROVIDERS: JSON.stringify(list) }).AGENT_PROVIDERS).toEqual(list)
  })
  test.each([
    ['{}', 'must be a JSON list'],
    ['[{"provider":"p","tokenUri":"https://p.example","clientId":"i"}]', '[0] needs provider, clientId and clientSecret'],
    ['[{"provider":"p","tokenUri":"p","clientId":"i","clientSecret":"hidden"}]', '[0].tokenUri'],
    ['[{"provider":"p","tokenUri":"https://p.example","clientId":"i","clientSecret":"hidden","redirectUri":1}]', '[0].redirectUri'],
  ])('providers %s: %s, and no secret', (AGENT_PROVIDERS, fault) => {
    const faults = faultsOf({ AGENT_PROVIDERS })
    expect(faults).toEqual([expect.stringContaining(`AGENT_PROVIDERS: ${fault}`)])
    expect(String(faults)).not.toContain('hidden')
  })

  const pem = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  test('a private key, its lines broken or not', () => {
    for (const AGENT_TOKEN_KEY of [pem, pem.replaceAll('\n', '\\n')]) expect(settingsOf({ AGENT_TOKEN_KEY }).AGENT_TOKEN_KEY).toBe(pem)
  })
  test('no private key, and the fault does not say it', () => expect(faultsOf({ AGENT_TOKEN_KEY: pem.slice(0, 200) })).toEqual(['AGENT_TOKEN_KEY: must be the PEM of an RSA private key']))
})

test('help names every setting of one machine with what it is for, and the default of this way of running', () => {
  const help = describeSettings({ OPEN_DOMAINS: 'true' })
  const lines = help.split('\n')
  const names = Object.keys(settingsOf({}))
  expect(lines.map((line) => line.trim().split(/\s+/)[0])).toEqual(names.slice(0, names.indexOf('GOOGLE_CLOUD_PROJECT')))
  for (const line of lines) expect(line).toMatch(/^ {2}[A-Z_]+ +\S.{10,}/)
  expect(lines.find((line) => line.includes('OPEN_DOMAINS'))).toMatch(/\(true\)$/)
  expect(describeSettings().split('\n').find((line) => line.includes('OPEN_DOMAINS'))).toMatch(/\(false\)$/)
  expect(lines.find((line) => line.includes('OPERATOR_TOKEN'))).not.toMatch(/\)$/)
})
