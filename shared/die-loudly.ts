/** A broken assumption, wherever it comes up, stops the process and says why. */
import type { Log } from '#shared/log.ts'

/** sysexits.h: internal software error. */
const EXIT_SOFTWARE = 70

export function dieLoudly(log: Log): void {
  const die = (error: unknown): void => {
    log.fatal({ err: error }, 'stopping: an assumption does not hold')
    process.exit(EXIT_SOFTWARE)
  }
  process.on('uncaughtException', die).on('unhandledRejection', die)
}
