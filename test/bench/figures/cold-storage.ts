/**
 * Cold storage seen from outside: the names of its objects in the data directory (state-process.md, "Cold
 * storage layout"), compared before and after.
 */
import { readdirSync } from 'node:fs'
import { sep } from 'node:path'
import type { Generator } from '../generator.ts'
import type { Profile } from '../profile.ts'
import type { Report } from '../report.ts'
import type { RunningPlatform } from '../subjects/platform.ts'

const OBJECT = /(?:^|\/)((?:leaders\/[^/]+\/(?:\d{12}|end|segments\/\d+-\d+))|(?:slots\/\d{4}\/.+)|(?:ids\/[0-9a-f-]{36}\/\d{12}))$/

export function objectNames(dataDirectory: string): Set<string> {
  const names = new Set<string>()
  for (const path of readdirSync(dataDirectory, { recursive: true, encoding: 'utf8' })) {
    const name = OBJECT.exec(path.replaceAll(sep, '/'))?.[1]
    if (name !== undefined) names.add(name)
  }
  return names
}

type Puts = { readonly bundles: number; readonly segments: number; readonly idFiles: number; readonly records: number }

/** What appeared. Bundles are counted by their numbers, so that one merged away meanwhile still counts. */
function newObjects(before: ReadonlySet<string>, after: ReadonlySet<string>): Puts {
  const appeared = [...after].filter((name) => !before.has(name))
  return {
    bundles: greatestSeqs(after) - greatestSeqs(before),
    segments: appeared.filter((name) => name.includes('/segments/')).length,
    idFiles: appeared.filter((name) => name.startsWith('ids/')).length,
    records: appeared.filter((name) => name.startsWith('slots/')).length,
  }
}

function greatestSeqs(names: ReadonlySet<string>): number {
  const logs = new Map<string, number>()
  for (const name of names) {
    const [, log, seq] = /^leaders\/([^/]+)\/(\d{12})$/.exec(name) ?? []
    if (log !== undefined) logs.set(log, Math.max(logs.get(log) ?? 0, Number(seq)))
  }
  return [...logs.values()].reduce((sum, seq) => sum + seq, 0)
}

/** Of the log that grew last: segments, and bundles that no segment holds. What a recovery may have to read at most. */
export function deadLogObjects(before: ReadonlySet<string>, after: ReadonlySet<string>): number {
  const grown = [...after].findLast((name) => /^leaders\/[^/]+\/\d{12}$/.test(name) && !before.has(name))
  if (grown === undefined) return NaN
  const log = grown.slice(0, grown.lastIndexOf('/'))
  const segments = [...after]
    .map((name) => new RegExp(`^${log}/segments/(\\d+)-(\\d+)$`).exec(name))
    .filter((match) => match !== null)
    .map((match) => ({ from: Number(match[1]), to: Number(match[2]) }))
  // A segment merged into a greater one may still be there.
  const tops = segments.filter((one) => !segments.some((other) => other !== one && other.from <= one.from && other.to >= one.to))
  const covered = Math.max(0, ...tops.map((segment) => segment.to))
  const bundles = [...after].filter((name) => name.startsWith(`${log}/`) && /\/\d{12}$/.test(name) && Number(name.slice(-12)) > covered)
  return tops.length + bundles.length
}

export async function measurePutsUnderLoad(
  running: RunningPlatform,
  population: string,
  generator: Generator,
  profile: Profile,
  report: Report,
): Promise<void> {
  const before = objectNames(running.dataDirectory)
  const seconds = profile.loadMs / 1000
  const { acknowledgedOverall, faults } = await generator.ask('drive', {
    name: population,
    clients: profile.clients,
    mode: 'disjoint',
    warmUpMs: 0,
    ms: profile.loadMs,
    serverPid: undefined,
  })
  report.fault('cold storage', faults)
  const after = objectNames(running.dataDirectory)
  if (after.size === 0) return report.skip('cold storage puts, busy', '', 'no objects of the documented layout in DATA_DIR')
  const puts = newObjects(before, after)
  const perState = puts.idFiles / profile.states
  report.row(
    'cold storage puts, busy',
    `bundles ${(puts.bundles / seconds).toFixed(0)}/s (${(acknowledgedOverall / puts.bundles).toFixed(0)} acks each), ` +
      `segments ${(puts.segments / seconds).toFixed(1)}/s, records ${(puts.records / seconds).toFixed(1)}/s, ID files ${(puts.idFiles / seconds).toFixed(1)}/s (${perState.toFixed(2)} a changed state)`,
    'a bundle per interval; at most an ID file per changed state and checkpoint',
    perState <= 1,
  )
}

export async function measurePutsIdle(running: RunningPlatform, profile: Profile, report: Report): Promise<void> {
  const before = objectNames(running.dataDirectory)
  await new Promise((resolve) => setTimeout(resolve, profile.idleMs))
  const after = objectNames(running.dataDirectory)
  if (after.size === 0) return report.skip('cold storage puts, idle', 'none', 'no objects of the documented layout in DATA_DIR')
  const puts = Object.values(newObjects(before, after)).reduce((sum, number) => sum + number, 0)
  report.row('cold storage puts, idle', `${puts} in ${profile.idleMs / 1000} s`, 'none', puts === 0)
}
