import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { contentDisposition } from '#shared/content-disposition.ts'

test.each(['image/png', 'image/jpeg', 'IMAGE/GIF', 'image/webp', 'audio/mpeg', 'video/mp4', 'text/plain', 'text/plain; charset=utf-8', 'text/plain;x=y', 'application/pdf'])('shown: %s', (type) => expect(contentDisposition(type, undefined)).toBe('inline'))

test.each(['text/html', 'TEXT/HTML; charset=utf-8', 'image/svg+xml', 'application/xhtml+xml', 'text/xml', 'application/xml', 'text/javascript', 'application/json', 'application/octet-stream', 'multipart/x-mixed-replace', 'text/plainx', 'image/png/svg', ''])(
  'saved: %s',
  (type) => expect(contentDisposition(type, undefined)).toBe('attachment'),
)

test('names: whatever they are, one header of one line, that can be read back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), (name) => {
      if (!name.isWellFormed()) return
      const header = contentDisposition('text/html', name)
      expect(header).toMatch(/^attachment; filename="[\x20\x21\x23-\x5b\x5d-\x7e]*"(?:; filename\*=UTF-8''[A-Za-z0-9!#$&+.^_`|~%-]*)?$/)
      const extended = /filename\*=UTF-8''(.*)$/.exec(header)?.[1]
      const plain = /filename="(.*?)"/.exec(header)![1]
      expect(extended === undefined ? plain : decodeURIComponent(extended)).toBe(name)
    }),
  )
})
