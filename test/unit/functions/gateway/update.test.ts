/** Stored interactions as published agents can apply them: by fast-json-patch, as their clients do it. */
import { expect, test } from '@jest/globals'
import fastJsonPatch from 'fast-json-patch'
// @ts-expect-error it has no types
import { standardJSONPatch } from '@knowlearning/patch-proxy'
import { translated, translatedOn } from '#functions/gateway/update.ts'
import type { InteractionIndex, StateId } from '#shared/ids.ts'
import type { Json } from '#shared/json.ts'
import { apply } from '#shared/patch/apply.ts'
import { activeText, documentOf } from '#shared/patch/document.ts'
import type { Op } from '#shared/patch/op.ts'
import type { StateView } from '#shared/ports/state-cluster.ts'

function viewOf(active: Json): StateView {
  return { id: 'id' as StateId, ii: 1 as InteractionIndex, domain: 'd', owner: 'o', name: 'n', activeType: 'application/json', active: JSON.stringify(active), created: 0, updated: 0, reserved: false }
}

/** What an agent that has `active` makes of the patch, and what the state became. */
function both(active: Json, ops: readonly Op[]): { readonly agent: unknown; readonly state: unknown } {
  const text = JSON.stringify(ops)
  const update = JSON.parse(translated(text) ?? translatedOn(viewOf(active), text)) as Op[]
  const copy = { active: structuredClone(active) }
  fastJsonPatch.applyPatch(copy, standardJSONPatch(update))
  const document = documentOf({ active: structuredClone(active), activeType: 'application/json', name: null })
  apply(document, structuredClone(ops) as Op[])
  return { agent: copy.active, state: JSON.parse(activeText(document)) }
}

test.each<[string, Json, Op[]]>([
  ['a move within an array', { a: [1, 2, 3] }, [{ op: 'move', from: ['active', 'a', 0], path: ['active', 'a', 2] }]],
  ['a move after an insertion in the same patch', { a: [1, 2] }, [{ op: 'add', path: ['active', 'a', 0], value: { x: 0 } }, { op: 'move', from: ['active', 'a', 0], path: ['active', 'a', 2] }]],
  ['a move to another place', { a: { b: 1 } }, [{ op: 'move', from: ['active', 'a', 'b'], path: ['active', 'c'] }]],
  ['a copy', { a: { b: [1] } }, [{ op: 'copy', from: ['active', 'a'], path: ['active', 'c'] }]],
  ['a test that was passed', { a: 1 }, [{ op: 'test', path: ['active', 'a'], value: 1 }, { op: 'replace', path: ['active', 'a'], value: 2 }]],
  ['the end of an array as -1 and as -', { a: [1] }, [{ op: 'add', path: ['active', 'a', -1], value: 2 }, { op: 'add', path: ['active', 'a', '-'], value: 3 }]],
  ['a reset and what comes after it', { a: 1 }, [{ op: 'remove', path: ['active'] }, { op: 'add', path: ['active', 'b'], value: 2 }]],
])('an agent applies %s as the state did', (_, active, ops) => {
  const { agent, state } = both(active, ops)
  expect(agent).toEqual(state)
})

test('a patch without any of these is handed on as it is', () => {
  const text = '[{"op":"add","path":["active","a"],"value":1}]'
  expect(translated(text)).toBe(text)
})
