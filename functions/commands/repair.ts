/**
 * `npm run repair -- --id UUID [--accept]`, on DATA_DIR or, with GOOGLE_CLOUD_PROJECT and COLD_STORAGE_BUCKET, on a bucket: what cold storage holds of a state, and an operator's word that what lies
 * behind missing interactions counts for nobody.
 *
 * The word is one create-only object; the platform may run meanwhile, and serves the state with the next request.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { parseStateId, type Cycle } from '#shared/ids.ts'
import { slotOf } from '#shared/protocol/ring.ts'
import { idPrefix, parseSlotName, repairName, repairPrefix, slotPrefix } from '#shared/records/names.ts'
import { readSettings } from '#shared/settings.ts'

const { values } = parseArgs({ options: { id: { type: 'string' }, accept: { type: 'boolean', default: false } } })
const id = parseStateId(values.id ?? '')
const isOnGoogleCloud = process.env['COLD_STORAGE_BUCKET'] !== undefined
const read = readSettings(process.env, { required: isOnGoogleCloud ? ['GOOGLE_CLOUD_PROJECT', 'COLD_STORAGE_BUCKET'] : [] })
if (id === undefined || read.kind === 'faults') {
  process.stderr.write(read.kind === 'faults' ? `${read.faults.join('\n')}\n` : 'usage: npm run repair -- --id UUID [--accept]\n')
  process.exit(1)
}

const coldStorage =
  isOnGoogleCloud
    ? (await import('#functions/google-cloud/compose.ts')).coldStorageOf(read.settings)
    : await openColdStorage({ directory: join(read.settings.DATA_DIR, 'cold-storage') })
const names = async (prefix: string): Promise<readonly string[]> => {
  const outcome = await coldStorage.list(prefix)
  if (outcome.kind === 'failed') throw new Error(outcome.reason)
  return outcome.names
}
const slot = slotOf(id)
const cycles = (await names(slotPrefix(slot))).flatMap((name) => {
  const parsed = parseSlotName(slot, name)
  return parsed.kind === 'epoch' ? [parsed.cycle] : []
})
const cycle = Math.max(0, ...cycles) as Cycle
const show = (title: string, lines: readonly string[]): void => void process.stdout.write(`${title}\n${lines.map((line) => `  ${line}\n`).join('') || '  none\n'}`)
show('ID files:', await names(idPrefix(id)))
show('accepted before:', await names(repairPrefix(id)))
process.stdout.write(`slot ${slot}, newest cycle ${cycle}\n`)

if (values.accept && cycle > 0) {
  const outcome = await coldStorage.put(repairName(id, cycle), new Uint8Array())
  if (outcome.kind !== 'stored' && outcome.kind !== 'exists') throw new Error(outcome.reason)
  process.stdout.write('accepted: interactions behind a gap count for nobody, in cycles up to this one\n')
} else {
  process.stdout.write('Nothing was changed. If the log says that interactions of this state are missing, --accept drops what lies behind the gap.\n')
}
await coldStorage.close()
