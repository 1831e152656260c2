/** `npm start`: the whole platform in one process, on a folder. */
import { createServer, type Server } from 'node:http'
import { enableCompileCache } from 'node:module'
import { limits } from '#shared/limits.ts'
import { openLog, type Log } from '#shared/log.ts'
import { describeSettings, readSettings, type Settings } from '#shared/settings.ts'
import { whenOrphaned } from '#functions/local/orphan.ts'
import { composePlatform, DataDirectoryTaken, PRESETS } from '#functions/local/compose.ts'
import { dieLoudly } from '#shared/die-loudly.ts'

/** Cloud Run gives 10 s; what is not done by then is recovered from the log. */
const STOP_MS = 9_000

if (process.argv.includes('--help')) {
  process.stdout.write(`npm start runs the platform on this machine. Settings, from the environment:\n\n${describeSettings(PRESETS)}\n`)
} else {
  const read = readSettings(process.env, { presets: PRESETS })
  if (read.kind === 'faults') {
    process.stderr.write(`${read.faults.join('\n')}\n`)
    process.exit(1)
  }
  await start(read.settings)
}

async function start(settings: Settings): Promise<void> {
  enableCompileCache()
  const log = openLog({ level: settings.LOG_LEVEL, service: 'local' })
  dieLoudly(log)
  const platform = await composePlatform(settings, log).catch((error: unknown) => {
    if (!(error instanceof DataDirectoryTaken)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  })
  const server = createServer(platform.handler)
  platform.attach(server)
  const port = await listen(server, settings, log)

  let stopping = false
  const stop = async (why: string): Promise<void> => {
    if (stopping) return
    stopping = true
    log.info({ why }, 'stopping')
    setTimeout(() => {
      log.error({}, 'stopping took too long: what is left is recovered at the next start')
      process.exit(1)
    }, STOP_MS).unref()
    server.close()
    platform.endStreams()
    server.closeIdleConnections()
    await platform.stop()
    log.info({}, 'stopped')
    process.exit(0)
  }
  process.on('SIGTERM', () => void stop('SIGTERM')).on('SIGINT', () => void stop('SIGINT'))
  if (process.env.npm_lifecycle_event !== undefined) whenOrphaned(() => void stop('npm is gone'))
  while (platform.missing().length > 0) await new Promise((resolve) => setTimeout(resolve, limits.readyLookMs))
  process.stdout.write(`ready http://${settings.HOST}:${port}\n`)
}

function listen(server: Server, settings: Settings, log: Log): Promise<number> {
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? `port ${settings.PORT} is in use: set another PORT` : error.message
      log.fatal({ reason }, 'cannot listen')
      process.exit(1)
    })
    server.listen(settings.PORT, settings.HOST, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : settings.PORT)
    })
  })
}
