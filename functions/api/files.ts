/**
 * `/v1/uploads` and `/v1/downloads`: the patches of the types `upload` and `download`, done for the caller.
 */
import { parseStateId } from '#shared/ids.ts'
import { parseJson } from './body.ts'
import type { EffectIds } from './effect-ids.ts'
import { effectPatch, keyOf } from './effect-patch.ts'
import type { Exchange } from './exchange.ts'
import type { Loop } from './request-loop.ts'
import { checkUploadBody, faultOf } from './schemas.ts'
import { decodePart } from './scope.ts'

export class Files {
  readonly #loop: Loop
  readonly #ids: EffectIds

  constructor(parts: { loop: Loop; ids: EffectIds }) {
    this.#loop = parts.loop
    this.#ids = parts.ids
  }

  upload = async (x: Exchange, body: Buffer): Promise<void> => {
    const json = parseJson(body)
    if (json.fault !== undefined) return x.problem('bad-request', { detail: json.fault })
    const asked = json.value
    if (!checkUploadBody.Check(asked)) return x.problem('bad-request', { detail: faultOf(checkUploadBody, asked) })
    const key = keyOf(x)
    if (key.fault) return
    const result = await effectPatch({ x, loop: this.#loop, ids: this.#ids, type: 'upload', active: { ...asked }, keyText: key.keyText })
    if (result === undefined) return
    x.json(201, `{"id":${result['upload']},"url":${result['url']},"headers":${result['headers']}}`, NO_STORE)
  }

  download = async (x: Exchange): Promise<void> => {
    const text = decodePart(x.parameter)
    const id = text === undefined ? undefined : parseStateId(text)
    if (id === undefined) return x.problem('bad-request', { detail: 'id: a UUID of version 1 to 5' })
    const result = await effectPatch({ x, loop: this.#loop, ids: this.#ids, type: 'download', active: { id } })
    if (result === undefined) return
    if (x.req.headers.accept?.includes('application/json') === true) return x.json(200, `{"url":${result['url']}}`, NO_STORE)
    x.empty(302, ['Location', JSON.parse(result['url']!) as string, 'Content-Length', '0', ...NO_STORE])
  }
}

const NO_STORE = ['Cache-Control', 'no-store'] as const
