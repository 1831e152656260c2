/** Serves uploads until it is killed; prints addresses to put the names given. For uploads-contract.ts. */
import { writeSync } from 'node:fs'
import type { UploadName } from '#shared/ports/uploads.ts'
import type { OpenedUploads } from './uploads-contract.ts'

const [module, place, type, ...names] = process.argv.slice(2) as [string, string, string, ...UploadName[]]
const { open } = (await import(module)) as { open: (place: string) => Promise<OpenedUploads> }
const { uploads, baseUrl } = await open(place)
const addresses = await Promise.all(names.map((name) => uploads.uploadAddress({ name, type, baseUrl })))
writeSync(1, `${JSON.stringify(addresses)}\n`)
