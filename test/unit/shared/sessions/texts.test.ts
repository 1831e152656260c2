import { describe, expect, test } from '@jest/globals'
import { domainOfOrigin, isLocalhost, isNameText, isUserText, parseDomain } from '#shared/sessions/domain.ts'
import { userIdOf, uuidV5, versionedUuid } from '#shared/sessions/uuid.ts'

describe('domains', () => {
  test.each([
    ['localhost', 'localhost'], ['LOCALHOST:8080', 'localhost:8080'], ['app.example.com', 'app.example.com'], ['xn--bcher-kva.example', 'xn--bcher-kva.example'], ['127.0.0.1:1', '127.0.0.1:1'],
  ])('%s', (text, domain) => expect(parseDomain(text)).toBe(domain))

  test.each(['', '.', 'a.', '.a', 'a..b', '-a', 'a-', 'a_b', 'a b', 'ü.de', 'a:', 'a:0', 'a:01', 'a:65536', 'a:1:2', '[::1]', 'a/b', `${'a'.repeat(64)}.de`, `${'a.'.repeat(150)}de`])('%j is none', (text) =>
    expect(parseDomain(text)).toBe(undefined))

  test('of an Origin', () => {
    expect(domainOfOrigin('https://App.example.com')).toBe('app.example.com')
    expect(domainOfOrigin('http://localhost:5112')).toBe('localhost:5112')
    for (const origin of ['null', '', 'localhost', 'file://', 'http://', 'http://a/b', 'ftp://a', 'http://user@a']) expect(domainOfOrigin(origin)).toBe(undefined)
  })

  test('localhost', () => {
    for (const domain of ['localhost', 'localhost:1', 'a.localhost', 'a.b.localhost:99']) expect(isLocalhost(domain)).toBe(true)
    for (const domain of ['xlocalhost', 'localhost.com', 'localhost.com:1', 'a']) expect(isLocalhost(domain)).toBe(false)
  })
})

test('users and names', () => {
  for (const text of ['a', 'ü', ' ', '/', '__proto__']) expect([isUserText(text), isNameText(text)]).toEqual([true, true])
  for (const text of ['', '\0', '\n', '\x7f', '\x85', '\ud800']) expect([isUserText(text), isNameText(text)]).toEqual([false, false])
  expect([isNameText('ü'.repeat(512)), isNameText('ü'.repeat(513))]).toEqual([true, false])
})

describe('UUIDs', () => {
  test('version 5 as RFC 9562 has it', () => {
    expect(uuidV5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
  })

  test('golden: the user of a subject is the same for ever', () => {
    expect(userIdOf('https://accounts.google.com', '1234567890')).toBe('6fb21bff-94df-592c-84a1-885d873b21fd')
    expect(userIdOf('a', 'bc')).not.toBe(userIdOf('ab', 'c'))
  })

  test('version and variant', () => {
    expect(versionedUuid(Buffer.alloc(16, 0xff), 4)).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff')
  })
})
