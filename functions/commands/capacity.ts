/**
 * `npm run capacity -- --patches-per-second 100 --states 100000 --domains 10 --followers 1000 --state-processes 3`: what a
 * deployment of that size does, costs, and which limit it meets first.
 */
import { parseArgs } from 'node:util'
import { capacity, PRICES_DATE, type Capacity, type Size } from '#functions/commands/capacity-model.ts'

const number = { type: 'string' } as const
const { values } = parseArgs({
  options: { 'patches-per-second': number, states: number, domains: number, followers: number, 'state-processes': number },
})

function read(name: keyof typeof values, byDefault: number, least: number): number {
  const value = Number(values[name] ?? byDefault)
  if (Number.isFinite(value) && value >= least) return value
  process.stderr.write(`--${name} is a number from ${least}\n`)
  process.exit(1)
}

const size: Size = {
  patchesPerSecond: read('patches-per-second', 100, 0),
  states: read('states', 100_000, 0),
  domains: read('domains', 10, 0),
  followers: read('followers', 1_000, 0),
  stateProcesses: read('state-processes', 3, 1),
}

const round = (value: number): string => (value === 0 ? '0' : value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(2))

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : column === row.length - 1 && row.length > 3 ? cell : cell.padStart(widths[column]!))).join('  ')}\n`).join('')
}

function report(of: Capacity): string {
  const operations = table([
    ['puts of bundles/s', round(of.bundlePutsPerSecond)],
    ['patches a bundle', round(of.patchesPerBundle)],
    ['ID files/s', round(of.idFilePutsPerSecond)],
    ['class A operations/s', round(of.classAPerSecond)],
    ['class B operations/s', round(of.classBPerSecond)],
    ['messages/s', round(of.messagesPerSecond)],
    ['rows/s of the mirror', round(of.rowsPerSecond)],
    ['writes, reads/s of the directory', `${round(of.firestoreWritesPerSecond)}, ${round(of.firestoreReadsPerSecond)}`],
    ['MiB of a state process', round(of.memoryMibPerStateProcess)],
    ['instances of api, gateway', `${of.apiInstances}, ${of.gatewayInstances}`],
    ['connections of Postgres', round(of.connections)],
  ])
  const costs = table([...of.costs.map(({ what, usdPerMonth }) => [what, round(usdPerMonth)]), ['together', round(of.usdPerMonth)], ['per million patches', of.usdPerMillionPatches === undefined ? '-' : round(of.usdPerMillionPatches)]])
  const nearest = table(of.limits.map(({ what, share, bound, change }) => [what, `${round(share * 100)}%`, `of ${round(bound)}`, change]))
  return `Operations\n${operations}\nUSD a month (list prices of ${PRICES_DATE}, without egress)\n${costs}\nLimits, the nearest first, and what to change there\n${nearest}`
}

process.stdout.write(report(capacity(size)))
