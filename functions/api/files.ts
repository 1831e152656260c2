/**
 * `/v1/uploads` and `/v1/downloads`: the patches of the types `upload` and `download`, done for the caller. They go to one
 * state a user and type, which nobody needs to know: as many as there are files would be as many states again.
 */
import type { Op } from '#shared/patch/op.ts'
import { parseStateId } from '#shared/ids.ts'
import type { JsonObject } from '#shared/json.ts'
import { answerEffectRefused, answerPatch } from './answers.ts'
import { parseJson } from './body.ts'
import type { EffectIds } from './effect-ids.ts'
import type { Exchange } from './exchange.ts'
import { bodyDigest, clientKey, isClientKey, mintKey } from './keys.ts'
import { UNNAMED, runPatch } from './request-loop.ts'
import type { Loop } from './request-loop.ts'
import { checkUploadBody, faultOf } from './schemas.ts'
import { decodePart } from './scope.ts'
import { typeOf } from './side-effects/side-effects.ts'

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
    const keyText = x.req.headers['idempotency-key'] as string | undefined
    if (keyText !== undefined && !isClientKey(keyText)) return x.problem('bad-request', { detail: 'Idempotency-Key: 1 to 128 printable characters' })
    const result = await this.#patch(x, 'upload', { ...asked }, keyText)
    if (result === undefined) return
    x.json(201, `{"id":${result['upload']},"url":${result['url']},"headers":${result['headers']}}`, NO_STORE)
  }

  download = async (x: Exchange): Promise<void> => {
    const text = decodePart(x.parameter)
    const id = text === undefined ? undefined : parseStateId(text)
    if (id === undefined) return x.problem('bad-request', { detail: 'id: a UUID of version 1 to 5' })
    const result = await this.#patch(x, 'download', { id }, undefined)
    if (result === undefined) return
    if (x.req.headers.accept?.includes('application/json') === true) return x.json(200, `{"url":${result['url']}}`, NO_STORE)
    x.empty(302, ['Location', JSON.parse(result['url']!) as string, 'Content-Length', '0', ...NO_STORE])
  }

  /** The result of the effect; undefined: answered. */
  async #patch(x: Exchange, type: 'upload' | 'download', active: JsonObject, keyText: string | undefined): Promise<{ readonly [member: string]: string } | undefined> {
    const { user, domain } = x.caller
    const ops: Op[] = [
      { op: 'add', path: ['active_type'], value: typeOf(type) },
      { op: 'add', path: ['active'], value: active },
    ]
    const { id, answer, effect } = await runPatch(this.#loop, {
      caller: { user, domain },
      target: { kind: 'id', id: this.#ids.of(`${type}s of`, domain, user), creation: UNNAMED },
      ops,
      text: JSON.stringify(ops),
      key: keyText === undefined ? mintKey() : clientKey(keyText),
      bodyDigest: keyText === undefined ? '' : bodyDigest({ ops, ii: undefined, returnState: false, lenient: false }),
      expected: undefined,
      returnState: false,
      host: x.req.headers.host,
    })
    if (effect?.kind === 'done') return effect.result
    if (effect?.kind === 'refused') answerEffectRefused(x, effect)
    else if (answer.kind !== 'stored') answerPatch(x, { id, answer })
    else throw new Error(`a patch of type ${type} had no side effect`)
    return undefined
  }
}

const NO_STORE = ['Cache-Control', 'no-store'] as const
