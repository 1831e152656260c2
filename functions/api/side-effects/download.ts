/** `download`: an address to get an uploaded file at, for whoever may read the state of its id. */
import { contentDisposition } from '#shared/content-disposition.ts'
import { parseStateId } from '#shared/ids.ts'
import type { Json, JsonObject } from '#shared/json.ts'
import { uploadName } from '#shared/ports/uploads.ts'
import type { Uploads } from '#shared/ports/uploads.ts'
import { isNameText } from '#shared/sessions/domain.ts'
import type { Reading } from '../reading.ts'
import { checkDownloadActive, faultOf } from '../schemas.ts'
import { done, refused } from './side-effect.ts'
import type { EffectAnswer, Occasion, SideEffect } from './side-effect.ts'
import { objectIdOf } from './upload.ts'

const NOT_THERE = refused('not-found', 'nothing has been uploaded under this id')

export class Download implements SideEffect {
  readonly #reading: Reading
  readonly #uploads: Uploads

  constructor(parts: { readonly reading: Reading; readonly uploads: Uploads }) {
    this.#reading = parts.reading
    this.#uploads = parts.uploads
  }

  async run({ caller, active, baseUrl }: Occasion): Promise<EffectAnswer> {
    if (!checkDownloadActive.Check(active)) return refused('bad-request', faultOf(checkDownloadActive, active, 'active'))
    const id = parseStateId(active.id)
    if (id === undefined) return refused('bad-request', 'active/id: a UUID of version 1 to 5')
    const reading = await this.#reading.read({ kind: 'id', id }, caller)
    if (reading.kind === 'forbidden') return refused('forbidden', 'this state is not for you')
    if (reading.kind !== 'view') return refused('unavailable', reading.kind === 'behind' ? 'behind' : reading.reason)
    const object = reading.view && objectIdOf(reading.view.active)
    if (object === undefined) return NOT_THERE

    // What the state says of the file is its owner's text: the type that counts is the one that the file was put with.
    const name = uploadName({ state: id, object })
    const found = await this.#uploads.metadata(name)
    if (found.kind === 'missing') return NOT_THERE
    if (found.kind === 'failed') return refused('unavailable', 'the file cannot be looked up just now')
    const disposition = contentDisposition(found.type, fileNameOf(reading.view!.active))
    const address = await this.#uploads.downloadAddress({ name, disposition, baseUrl })
    return address.kind === 'signed' ? done({ url: JSON.stringify(address.url) }) : refused('unavailable', address.reason)
  }
}

function fileNameOf(active: string): string | undefined {
  const name: Json | undefined = (JSON.parse(active) as JsonObject)['name']
  return typeof name === 'string' && isNameText(name) ? name : undefined
}
