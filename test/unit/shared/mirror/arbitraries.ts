import fc from 'fast-check'
import type { Json } from '#shared/json.ts'

const odd = ['', '\0', 'a\0b', '\ud800', '\udc00x', '\\', '\\u0000', '"', "'", '{', '}', ',', 'NULL', 'null', 'true', 'false', '0', '-1', ' 7 ', '+5', '1.5', '.5', '5.', '1e400', '2147483648', '9223372036854775808', '2024-02-29', '2024-02-30', '2024-02-29T10:00:00.5+02:00', '0001-01-01T00:00+01', '$1', '; DROP TABLE x', '😀', 'x'.repeat(3_000)]

export const hostileText = fc.oneof(fc.constantFrom(...odd), fc.string({ unit: 'binary' }), fc.array(fc.constantFrom(...odd.slice(0, 20)), { maxLength: 4 }).map((parts) => parts.join('')))
export const hostileKey = fc.oneof(hostileText, fc.constantFrom('__proto__', 'constructor', 'toString', 'length', 'id', 'a', 'b'))

const scalar: fc.Arbitrary<Json> = fc.oneof(
  hostileText,
  fc.constantFrom(null, true, false, -0, 2 ** 31, -(2 ** 31) - 1, 2 ** 53, 2 ** 63, -(2 ** 63), 1e300, 5e-324, 8.64e15, 253_402_300_800_000, -62_135_596_800_001, 1_700_000_000_000),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)

/** As JSON.parse makes it: `__proto__` is an own key like any other. */
export const hostileJson: fc.Arbitrary<Json> = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie('json'), { maxLength: 4 }), fc.array(fc.tuple(hostileKey, tie('json')), { maxLength: 4 }).map((entries) => {
    const object: Record<string, Json> = {}
    for (const [key, member] of entries) Object.defineProperty(object, key, { value: member, enumerable: true, configurable: true, writable: true })
    return object
  })),
})).json
