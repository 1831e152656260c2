/** Buckets and objects as resources of the JSON API, and partial responses of them. */
import type { Bucket, ObjectRow } from './store.ts'

export function bucketResource({ name, created, metageneration, fields }: Bucket, base: string): Record<string, unknown> {
  return {
    kind: 'storage#bucket',
    location: 'US',
    locationType: 'multi-region',
    storageClass: 'STANDARD',
    ...fields,
    id: name,
    name,
    selfLink: `${base}/storage/v1/b/${name}`,
    projectNumber: '0',
    timeCreated: new Date(created).toISOString(),
    updated: new Date(created).toISOString(),
    metageneration: String(metageneration),
    etag: Buffer.from(String(metageneration)).toString('base64'),
  }
}

export function objectResource(row: ObjectRow, base: string): Record<string, unknown> {
  const path = `b/${row.bucket}/o/${encodeURIComponent(row.name)}`
  const time = new Date(row.created).toISOString()
  return {
    ...row.fields,
    kind: 'storage#object',
    id: `${row.bucket}/${row.name}/${row.generation}`,
    selfLink: `${base}/storage/v1/${path}`,
    mediaLink: `${base}/download/storage/v1/${path}?generation=${row.generation}&alt=media`,
    name: row.name,
    bucket: row.bucket,
    generation: String(row.generation),
    metageneration: String(row.metageneration),
    storageClass: 'STANDARD',
    size: String(row.bytes),
    md5Hash: row.md5,
    crc32c: row.crc32c,
    etag: Buffer.from(`${row.generation}/${row.metageneration}`).toString('base64'),
    timeCreated: time,
    updated: time,
    timeStorageClassUpdated: time,
    timeFinalized: time,
  }
}

/** `fields`: `a,b(c,d),e/f`; undefined: all. */
export function partOf(value: unknown, fields: string | null): unknown {
  if (fields === null || fields === '' || fields === '*' || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((each) => partOf(each, fields))
  const part: Record<string, unknown> = {}
  for (const each of split(fields)) {
    const match = /^([^/(]+)(?:\/(.*)|\((.*)\))?$/s.exec(each)
    const name = match?.[1]
    if (name === undefined) continue
    const found = (value as Record<string, unknown>)[name]
    if (found !== undefined) part[name] = partOf(found, match?.[2] ?? match?.[3] ?? null)
  }
  return part
}

/** At the commas that are in no brackets. */
function split(fields: string): string[] {
  const parts: string[] = []
  let depth = 0
  let start = 0
  for (let at = 0; at < fields.length; at += 1) {
    if (fields[at] === '(') depth += 1
    if (fields[at] === ')') depth -= 1
    if (fields[at] !== ',' || depth > 0) continue
    parts.push(fields.slice(start, at).trim())
    start = at + 1
  }
  return [...parts, fields.slice(start).trim()]
}
