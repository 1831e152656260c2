/** Logs: JSON lines on standard error with Cloud Logging's severities. */
import { pino } from 'pino'

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  fatal(fields: object, message: string): void
}

const SEVERITY: Readonly<Record<string, string>> = { trace: 'DEBUG', debug: 'DEBUG', info: 'INFO', warn: 'WARNING', error: 'ERROR', fatal: 'CRITICAL' }

export function openLog(options: { readonly level: string; readonly service: string }): Log {
  return pino(
    {
      level: options.level,
      messageKey: 'message',
      base: { service: options.service },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ severity: SEVERITY[label] ?? 'DEFAULT' }) },
      // The last line of defence: nothing is logged that holds these, and if it were, it would not show.
      redact: { paths: ['token', 'authorization', 'key', '*.token', '*.authorization', '*.secret'], censor: '[redacted]' },
    },
    // Synchronous: the line that explains a crash must be out before the crash.
    pino.destination({ dest: 2, sync: true }),
  )
}
