/**
 * What a run found: rows for the table, what could not be measured, and what went wrong.
 */
import type { Faults } from './load/population.ts'

export type Verdict = 'reach' | 'short' | 'not measured' | ''

export type FigureRow = { readonly figure: string; readonly measured: string; readonly reach: string; readonly verdict: Verdict }

export class Report {
  readonly rows: FigureRow[] = []
  /** Anything here makes the run fail. */
  readonly faults: string[] = []

  /** A row with a limit: `good` decides. NaN anywhere in it: not measured. */
  row(figure: string, measured: string, reach: string, good: boolean | undefined): void {
    const known = !measured.includes('NaN')
    const verdict = good === undefined ? '' : !known ? 'not measured' : good ? 'reach' : 'short'
    this.rows.push({ figure, measured: measured.replaceAll('NaN', 'n/a'), reach, verdict })
  }

  skip(figure: string, reach: string, reason: string): void {
    this.rows.push({ figure, measured: reason, reach, verdict: 'not measured' })
  }

  fault(where: string, faults: Faults): void {
    for (const [fault, times] of Object.entries(faults)) this.faults.push(`${where}: ${fault} (${times} x)`)
  }
}
