/** The rows of architecture.md that come out of the rounds. */
import type { Report } from '../report.ts'
import type { LaneFigures } from '../rounds.ts'

export const LANES = {
  http: 'bare-http',
  log: 'bare-log',
  rest: 'npm start',
  hot: 'npm start, one hot state',
  mirrored: 'npm start, mirrored',
  handled: 'npm start, handlers',
  frameworkBare: 'framework-bare',
  framework: 'framework-api',
  link: 'state process (link)',
  logAlone: 'bare-log, 1 client',
  restAlone: 'npm start, 1 client',
} as const

export function throughputRows(figures: ReadonlyMap<string, LaneFigures>, reasons: ReadonlyMap<string, string>, report: Report): void {
  type Row = { title: string; lane: string; base: string; figure: 'perSecond' | 'p50Ms' | 'cpuUsPerAcknowledgement'; atLeast?: number; atMost?: number }
  const rows: Row[] = [
    { title: 'durable acknowledgements/s, REST', lane: LANES.rest, base: LANES.http, figure: 'perSecond', atLeast: 0.4 },
    { title: 'durable acknowledgements/s, REST', lane: LANES.rest, base: LANES.log, figure: 'perSecond', atLeast: 0.65 },
    { title: 'the same on functions-framework', lane: LANES.framework, base: LANES.frameworkBare, figure: 'perSecond', atLeast: 0.7 },
    { title: 'state process alone', lane: LANES.link, base: LANES.log, figure: 'perSecond', atLeast: 1 },
    { title: 'p50 latency, 1 client', lane: LANES.restAlone, base: LANES.logAlone, figure: 'p50Ms', atMost: 2 },
    { title: 'one hot state', lane: LANES.hot, base: LANES.rest, figure: 'perSecond', atLeast: 0.8 },
    { title: 'with a mirrored table', lane: LANES.mirrored, base: LANES.rest, figure: 'perSecond', atLeast: 0.6 },
    { title: 'with handlers that do nothing', lane: LANES.handled, base: LANES.mirrored, figure: 'perSecond', atLeast: 0.5 },
    { title: 'server CPU per acknowledgement', lane: LANES.rest, base: LANES.log, figure: 'cpuUsPerAcknowledgement', atMost: 1.7 },
  ]
  for (const { title, lane, base, figure, atLeast, atMost } of rows) {
    const reach = atLeast === undefined ? `at most ${atMost} of ${base}` : `at least ${atLeast} of ${base}`
    const measured = figures.get(lane)
    if (measured === undefined) {
      const reason = reasons.get(lane)
      if (reason !== undefined) report.skip(title, reach, reason)
      continue
    }
    const ratio = measured.ratio(figure, figures.get(base))
    const good = atLeast === undefined ? ratio <= atMost! : ratio >= atLeast
    const absolute = measured.of(figure).median
    const shown = figure === 'perSecond' ? `${absolute.toFixed(0)}/s` : figure === 'p50Ms' ? `${absolute.toFixed(2)} ms` : `${absolute.toFixed(0)} us`
    report.row(title, `${ratio.toFixed(2)}  (${shown})`, reach, good)
  }
}
