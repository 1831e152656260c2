import { expect, test } from '@jest/globals'
import { isMediaType } from '#shared/ports/uploads.ts'

test.each(['text/plain', 'image/svg+xml', 'application/vnd.a.b-c', 'text/plain; charset=utf-8', 'text/plain;charset=utf-8', 'application/json;type=score', 'a/b; x="quoted; text"; y=z'])('a media type: %s', (text) => expect(isMediaType(text)).toBe(true))

test.each(['', 'text', 'text/', '/plain', 'text/plain ', ' text/plain', 'text/plain;', 'text/plain; x', 'text/plain\r\nX: y', 'text/plain\n', 'täxt/plain', 'text/plain; x="a\r\n"', 'a/b/c', 'a/b, c/d', `a/${'b'.repeat(254)}`])('none: %j', (text) =>
  expect(isMediaType(text)).toBe(false),
)

test('hostile ones take no time', () => {
  const hostile = `a/b${'; x=y'.repeat(49)};`
  expect(isMediaType(hostile)).toBe(false)
})
