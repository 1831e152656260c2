/** `/v1/queries/{name}`: the patch of the type `postgres-query`, done for the caller. */
import type { Json } from '#shared/json.ts'
import { parsePatch } from '#shared/patch/parse.ts'
import { parseJson } from './body.ts'
import type { EffectIds } from './effect-ids.ts'
import { effectPatch } from './effect-patch.ts'
import type { Exchange } from './exchange.ts'
import type { Loop } from './request-loop.ts'
import { checkQueryBody, faultOf } from './schemas.ts'
import { decodePart } from './scope.ts'

export class QueryRoute {
  readonly #loop: Loop
  readonly #ids: EffectIds

  constructor(parts: { loop: Loop; ids: EffectIds }) {
    this.#loop = parts.loop
    this.#ids = parts.ids
  }

  run = async (x: Exchange, body: Buffer): Promise<void> => {
    const query = decodePart(x.parameter)
    if (query === undefined) return x.problem('bad-request', { detail: 'name: broken percent-encoding' })
    const json: { readonly value?: unknown; readonly fault?: string } = body.length === 0 ? { value: {} } : parseJson(body)
    if (json.fault !== undefined) return x.problem('bad-request', { detail: json.fault })
    const asked = json.value
    if (!checkQueryBody.Check(asked)) return x.problem('bad-request', { detail: faultOf(checkQueryBody, asked) })
    // What goes into a patch must be what a patch may hold: `__proto__` as a key is not, in the depth neither.
    const parsed = parsePatch([{ op: 'add', path: ['active'], value: { query, ...asked } }])
    if (parsed.fault !== undefined) return x.problem('bad-request', { detail: `body: ${parsed.fault.message}` })
    const active = { query, ...(asked as { readonly params?: Json[]; readonly domain?: string }) }
    const result = await effectPatch({ x, loop: this.#loop, ids: this.#ids, type: 'postgres-query', active })
    if (result !== undefined) x.json(200, `{"rows":${result['rows']}}`, ['Cache-Control', 'no-store'])
  }
}
