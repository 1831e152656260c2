import type { Json } from '#shared/json.ts'

/** An element of an array path: a name, or an index (a digit string is one too where it meets an array). */
export type PathElement = string | number
export type Path = readonly PathElement[]

/** RFC 6902 operations with array paths from the root of the state: `active`, `active_type` or `name` first. */
export type Op =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: Path; readonly value: Json }
  | { readonly op: 'remove'; readonly path: Path }
  | { readonly op: 'move' | 'copy'; readonly from: Path; readonly path: Path }
