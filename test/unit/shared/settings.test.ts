import { describe, expect, test } from '@jest/globals'
import { describeSettings, readSettings, type Settings } from '#shared/settings.ts'

function settingsOf(environment: Record<string, string>, presets: Parameters<typeof readSettings>[1] = {}): Settings {
  const read = readSettings(environment, presets)
  if (read.kind === 'faults') throw new Error(read.faults.join('\n'))
  return read.settings
}
const faultsOf = (environment: Record<string, string>, presets: Parameters<typeof readSettings>[1] = {}): readonly string[] => {
  const read = readSettings(environment, presets)
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

test('a preset that is wrong is a fault as well', () => expect(faultsOf({}, { PORT: 'x' })).toHaveLength(1))

describe('values', () => {
  test.each(['-1', '1.5', '1e3', ' 80', '0x50', 'NaN', '٣'])('no port: %j', (PORT) => expect(faultsOf({ PORT })).toHaveLength(1))
  test.each(['0', '80', '65535'])('a port: %s', (PORT) => expect(settingsOf({ PORT }).PORT).toBe(Number(PORT)))
  test.each(['1', 'TRUE', 'on'])('no flag: %s', (OPEN_DOMAINS) => expect(faultsOf({ OPEN_DOMAINS })).toHaveLength(1))
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
})

test('help names every setting with what it is for, and the default of this way of running', () => {
  const help = describeSettings({ OPEN_DOMAINS: 'true' })
  const lines = help.split('\n')
  expect(lines.map((line) => line.trim().split(/\s+/)[0])).toEqual(Object.keys(settingsOf({})))
  for (const line of lines) expect(line).toMatch(/^ {2}[A-Z_]+ +\S.{10,}/)
  expect(lines.find((line) => line.includes('OPEN_DOMAINS'))).toMatch(/\(true\)$/)
  expect(describeSettings().split('\n').find((line) => line.includes('OPEN_DOMAINS'))).toMatch(/\(false\)$/)
  expect(lines.find((line) => line.includes('OPERATOR_TOKEN'))).not.toMatch(/\)$/)
})
