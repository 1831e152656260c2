/** The Terraform of the project as JSON: each file parsed, blocks gathered over all files of a folder. */
import { parse } from '@cdktf/hcl2json'
import { readdirSync, readFileSync } from 'node:fs'
import { ROOT } from '../style/source.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Body = { [key: string]: Json }
export type Resource = { readonly type: string; readonly name: string; readonly body: Body }
export type Configuration = { readonly text: string; readonly resources: readonly Resource[]; readonly locals: Body; readonly modules: Readonly<Record<string, Body>> }

type File = { resource?: Record<string, Record<string, Body[]>>; locals?: Body[]; module?: Record<string, Body[]> }

export async function configuration(folder: string): Promise<Configuration> {
  const names = readdirSync(ROOT + folder).filter((name) => name.endsWith('.tf'))
  const texts = names.map((name) => readFileSync(`${ROOT}${folder}/${name}`, 'utf8'))
  const files = (await Promise.all(names.map((name, at) => parse(name, texts[at]!)))) as File[]
  const resources = files.flatMap(({ resource = {} }) =>
    Object.entries(resource).flatMap(([type, named]) => Object.entries(named).map(([name, [body]]) => ({ type, name, body: body! }))),
  )
  const locals = Object.assign({}, ...files.flatMap(({ locals: blocks = [] }) => blocks)) as Body
  const modules = Object.fromEntries(files.flatMap(({ module = {} }) => Object.entries(module).map(([name, [body]]) => [name, body!])))
  return { text: texts.join('\n'), resources, locals, modules }
}

/**
 * The members of an object, whether the parser took it apart or left it as an expression (where it holds a call or a reference).
 * `locals`: what a `merge` of it refers to.
 */
export function members(value: Json | undefined, locals: Body = {}): string[] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.keys(value)
  const text = String(value)
  const written = [...text.matchAll(/(?:^|\{) *([\w-]+) += /gm)].map((match) => match[1]!)
  const merged = text.startsWith('${merge(') ? [...text.matchAll(/[(,] *local\.(\w+)/g)].flatMap((match) => members(locals[match[1]!])) : []
  return [...merged, ...written]
}
