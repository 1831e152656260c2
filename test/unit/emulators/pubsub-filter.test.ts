import { describe, expect, test } from '@jest/globals'
import { FilterError, parseFilter } from '../../../emulators/pubsub/filter.ts'

const attributes = { domain: 'a.example', kind: 'text', 'x/y': '"q"' }

describe('filters of subscriptions', () => {
  test.each([
    ['', true],
    ['attributes.domain = "a.example"', true],
    ['attributes.domain="b.example"', false],
    ['attributes.domain != "b.example"', true],
    ['attributes.gone != "b"', true],
    ['attributes:domain', true],
    ['attributes:constructor', false],
    ['NOT attributes:domain', false],
    ['-attributes:gone', true],
    ['hasPrefix(attributes.domain, "a.")', true],
    ['hasPrefix(attributes.gone, "")', false],
    ['attributes."x/y" = "\\"q\\""', true],
    ['attributes:domain AND attributes.kind = "image"', false],
    ['attributes:gone OR attributes.kind = "text"', true],
    ['attributes:gone OR (attributes:domain AND NOT attributes.kind = "image")', true],
  ])('%s is %s', (text, expected) => expect(parseFilter(text)(attributes)).toBe(expected))

  test.each(['domain = "a"', 'attributes.domain', 'attributes.domain = a', 'attributes:a AND attributes:b OR attributes:c', '(attributes:a', 'attributes:a)', 'attributes:a attributes:b', '%', `${'('.repeat(40)}attributes:a`, `attributes.a = "${'x'.repeat(300)}"`])(
    'refused: %s',
    (text) => expect(() => parseFilter(text)).toThrow(FilterError),
  )
})
