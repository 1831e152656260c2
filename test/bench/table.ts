import type { LaneFigures } from './rounds.ts'
import type { FigureRow } from './report.ts'

/** `cells` in columns as wide as their widest cell; the first row is the head. */
function columns(cells: readonly (readonly string[])[]): string {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd())
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '))
  return lines.join('\n')
}

export function laneTable(figures: ReadonlyMap<string, LaneFigures>, bases: { readonly http: string; readonly log: string }): string {
  const http = figures.get(bases.http)
  const log = figures.get(bases.log)
  const head = ['subject', 'acks/s', '(least .. most)', `of ${bases.http}`, `of ${bases.log}`, 'p50 ms', 'p99 ms', 'server CPU us/ack', 'generator CPU', 'other CPU']
  const rows = [...figures].map(([name, lane]) => {
    const perSecond = lane.of('perSecond')
    const ratio = (base: LaneFigures | undefined): string =>
      base?.lane.clients === lane.lane.clients ? lane.ratio('perSecond', base).toFixed(2) : ''
    return [
      name,
      perSecond.median.toFixed(0),
      `(${perSecond.least.toFixed(0)} .. ${perSecond.greatest.toFixed(0)})`,
      ratio(http),
      ratio(log),
      lane.of('p50Ms').median.toFixed(2),
      lane.of('p99Ms').median.toFixed(2),
      lane.of('cpuUsPerAcknowledgement').median.toFixed(1),
      percent(lane.of('generatorShare').median),
      percent(lane.of('othersShare').median),
    ].map((cell) => cell.replace('NaN', 'n/a'))
  })
  return columns([head, ...rows])
}

export function figureTable(rows: readonly FigureRow[]): string {
  return columns([['figure', 'measured', 'must reach', ''], ...rows.map((row) => [row.figure, row.measured, row.reach, row.verdict])])
}

/** Of one core. */
function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
