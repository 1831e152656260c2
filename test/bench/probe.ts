/**
 * Loaded into a measured server with `--import`, where only the server itself can tell:
 *
 * BENCH_PROBE_DIRECTORY: on SIGUSR2 it collects garbage and writes its memory use there, so that what is
 * measured is what is kept, not what the collector has not come to yet.
 * BENCH_LOOPBACK: functions-framework listens on all addresses and has no setting for it; a benchmark must
 * not open a port to the network.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { Server } from 'node:net'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

const directory = process.env['BENCH_PROBE_DIRECTORY']
if (directory !== undefined && isMainThread) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  process.on('SIGUSR2', () => {
    collect()
    collect()
    const file = join(directory, String(process.pid))
    writeFileSync(`${file}.part`, JSON.stringify(process.memoryUsage()))
    renameSync(`${file}.part`, `${file}.json`)
  })
}

if (process.env['BENCH_LOOPBACK'] !== undefined) {
  const listen = Server.prototype.listen as (this: Server, ...args: unknown[]) => Server
  Server.prototype.listen = function (this: Server, first: unknown, ...rest: unknown[]): Server {
    const port = typeof first === 'string' || typeof first === 'number' ? Number(first) : NaN
    return Number.isNaN(port) ? listen.call(this, first, ...rest) : listen.call(this, port, '127.0.0.1', ...rest)
  } as typeof Server.prototype.listen
}
