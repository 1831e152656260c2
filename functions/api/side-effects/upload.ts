/**
 * `upload`: an address to put a file to, and the state that the file is read by.
 *
 * The state has the upload's id, belongs to the uploader, and says what the file is: `active_type` is its media type, `active`
 * is `{type, id, name?}`, where `id` is the object's. So a download is authorized as reading that state is. It keeps no `name`
 * of its own: names are one a user, and two uploads may both be `photo.jpg`.
 *
 * I1. The state is made by its first interaction only: an id that anybody has written before is refused.
 * I2. Ids that are minted here are those of (patched state, index): a repeat finds the state that it made, and gets an
 *     address of the same object, which can be put once.
 */
import { parseStateId } from '#shared/ids.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateCluster } from '#shared/ports/state-cluster.ts'
import { isMediaType, uploadName } from '#shared/ports/uploads.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import { isNameText } from '#shared/sessions/domain.ts'
import { isNameId } from '#shared/sessions/names.ts'
import type { NameIds } from '#shared/sessions/names.ts'
import type { Party } from '../party.ts'
import type { Mirroring } from '../domains/mirroring.ts'
import type { EffectIds } from '../effect-ids.ts'
import { mintKey } from '../keys.ts'
import { UNNAMED } from '../client-patch.ts'
import { checkUploadActive, faultOf } from '../schemas.ts'
import { done, refused } from './side-effect.ts'
import type { EffectAnswer, Occasion, SideEffect } from './side-effect.ts'

export type UploadParts = { readonly cluster: StateCluster; readonly uploads: Uploads; readonly names: NameIds; readonly ids: EffectIds; readonly mirroring: Mirroring }

type File = { readonly type: string; readonly name: string | undefined; readonly object: StateId }

export class Upload implements SideEffect {
  readonly #parts: UploadParts

  constructor(parts: UploadParts) {
    this.#parts = parts
  }

  async run({ caller, id, ii, active, baseUrl, isAgents }: Occasion): Promise<EffectAnswer> {
    if (!checkUploadActive.Check(active)) return refused('bad-request', faultOf(checkUploadActive, active, 'active'))
    const { type, name } = active
    if (!isMediaType(type)) return refused('bad-request', 'active/type: not a media type')
    if (name !== undefined && !isNameText(name)) return refused('bad-request', 'active/name: 1 to 1024 bytes and no control characters')
    const { ids, uploads } = this.#parts
    const state = active.id === undefined ? ids.of('upload', id, String(ii)) : parseStateId(active.id)
    if (state === undefined) return refused('bad-request', 'active/id: a UUID of version 1 to 5')
    const object = ids.of('object', id, String(ii))
    const refusal = await this.make(caller, state, { type, name, object })
    if (refusal !== undefined) return refusal
    const address = await uploads.uploadAddress({ name: uploadName({ state, object }), type, baseUrl, isBare: isAgents })
    if (address.kind === 'failed') return refused('unavailable', address.reason)
    return done({ upload: JSON.stringify(state), url: JSON.stringify(address.url), headers: JSON.stringify(address.headers) })
  }

  /** Undefined: the state is there, made by this occasion, now or before. */
  async make(caller: Party, id: StateId, { type, name, object }: File): Promise<EffectAnswer | undefined> {
    const { cluster, names, mirroring } = this.#parts
    const active: Json = { type, id: object, ...(name === undefined ? {} : { name }) }
    const ops: Op[] = [
      { op: 'add', path: ['active_type'], value: type },
      { op: 'add', path: ['active'], value: active },
    ]
    const imageFor = mirroring.imageFor(caller.domain)
    const answer = await cluster.patch({
      id,
      text: JSON.stringify(ops),
      ops,
      user: caller.user,
      domain: caller.domain,
      authority: 'owner',
      creation: isNameId(id) && !names.verifies(id, caller) ? undefined : UNNAMED,
      // Minted: pinned to the first index it is made once anyway, beyond any window of keys.
      key: mintKey(),
      bodyDigest: '',
      expected: 1 as InteractionIndex,
      returnState: false,
      ...(imageFor === undefined ? {} : { imageFor }),
      lenient: false,
    })
    switch (answer.kind) {
      case 'stored': {
        const mirrored = await mirroring.after(caller.domain, id, answer)
        return mirrored?.kind === 'unavailable' ? refused('unavailable', mirrored.reason) : undefined
      }
      case 'out-of-sync':
        return this.#isMade(id, object)
      case 'forbidden':
        return TAKEN
      case 'unwritten':
        return refused('forbidden', 'active/id: made for the name of another user')
      case 'unavailable':
        return refused('unavailable', answer.reason)
      case 'replay':
      case 'unprocessable':
      case 'too-large':
      case 'key-reused':
        throw new Error(`the state of an upload was refused: ${answer.kind}`)
    }
  }

  async #isMade(id: StateId, object: StateId): Promise<EffectAnswer | undefined> {
    const first = await this.#parts.cluster.stateAt({ id, ii: 1 as InteractionIndex })
    if (first.kind === 'unavailable') return refused('unavailable', first.reason)
    return first.kind === 'state' && objectIdOf(first.state.active) === object ? undefined : TAKEN
  }
}

const TAKEN = refused('id-taken', 'active/id: there is a state of this id')

/** A longer `active` is no upload's: others' states are not parsed whatever their size. */
const ACTIVE_CHARACTERS = 65_536

/** The object that the state of an upload leads to; undefined: it leads to none. */
export function objectIdOf(active: string): StateId | undefined {
  if (active.length > ACTIVE_CHARACTERS) return undefined
  const value = JSON.parse(active) as Json
  const id = typeof value === 'object' && value !== null && !Array.isArray(value) ? value['id'] : undefined
  return typeof id === 'string' ? parseStateId(id) : undefined
}
