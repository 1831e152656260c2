/**
 * Many followers of one state: how long after the acknowledgement has each of them the patch? Both ends are
 * in this process, so one monotonic clock reads both.
 */
import type { Buffer } from 'node:buffer'
import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http'
import { performance } from 'node:perf_hooks'
import { percentile } from '../measure.ts'
import { sleep } from './drive.ts'
import type { HttpTarget } from './http-channel.ts'
import { openChannels } from './open-channels.ts'
import { count, type Faults, type Population } from './population.ts'

export type FollowersOptions = { readonly followers: number; readonly patches: number; readonly pauseMs: number }

export type FollowersResult = {
  /** Of each patch, until the last follower had it. */
  readonly lastP50Ms: number
  readonly lastP99Ms: number
  /** Of all pairs of patch and follower. */
  readonly eachP99Ms: number
  readonly greatestMs: number
  readonly patches: number
  readonly faults: Faults
}

const OPEN_DEADLINE_MS = 10_000
const ARRIVAL_DEADLINE_MS = 5_000

export async function follow(population: Population, options: FollowersOptions): Promise<FollowersResult> {
  const target = population.target as HttpTarget
  const faults: Faults = {}
  const firstIi = population.ii[0]! + 1
  const arrivals = Array.from({ length: options.patches }, () => [] as number[])
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity })
  const followers = await Promise.all(
    Array.from({ length: options.followers }, () => openFollower(target, population.ids[0]!, agent, firstIi - 1)),
  )
  for (const follower of followers) {
    follower.onPatch = (ii, at) => {
      if (ii !== follower.ii + 1) count(faults, 'follower saw a gap or a double')
      follower.ii = ii
      arrivals[ii - firstIi]?.push(at)
    }
    follower.onEnd = (why) => count(faults, `follower: ${why}`)
  }
  const acknowledged = await sendPaced(population, options, faults)
  const deadline = performance.now() + ARRIVAL_DEADLINE_MS
  while (arrivals.some((times) => times.length < options.followers) && performance.now() < deadline) await sleep(20)
  for (const follower of followers) {
    follower.onEnd = () => {}
    follower.request.destroy()
  }
  agent.destroy()

  const missing = arrivals.reduce((sum, times) => sum + options.followers - times.length, 0)
  if (missing > 0) faults['patch that a follower never got'] = missing
  const lags = arrivals.map((times, n) => times.map((at) => at - acknowledged[n]!))
  const last = Float64Array.from(lags.filter((times) => times.length > 0).map((times) => Math.max(...times))).sort()
  const each = Float64Array.from(lags.flat()).sort()
  return {
    lastP50Ms: percentile(last, 0.5),
    lastP99Ms: percentile(last, 0.99),
    eachP99Ms: percentile(each, 0.99),
    greatestMs: last.at(-1) ?? NaN,
    patches: options.patches,
    faults,
  }
}

/** One client; when each patch was acknowledged. */
async function sendPaced(population: Population, options: FollowersOptions, faults: Faults): Promise<number[]> {
  const [channel] = await openChannels(population.target, 1, { op: 'replace', keyed: false })
  const acknowledged: number[] = []
  for (let n = 0; n < options.patches; n += 1) {
    await new Promise<void>((resolve) => {
      channel!.patch(population.ids[0]!, population.nextValue(), '', (status, ii) => {
        acknowledged.push(performance.now())
        population.acknowledge(0, status, ii, faults)
        resolve()
      })
    })
    await sleep(options.pauseMs)
  }
  channel!.close()
  return acknowledged
}

type OpenFollower = {
  readonly request: ClientRequest
  ii: number
  onPatch: (ii: number, at: number) => void
  onEnd: (why: string) => void
}

/** Resolves when the stream has shown the state, and that at the index it must have. */
function openFollower(target: HttpTarget, id: string, agent: Agent, ii: number): Promise<OpenFollower> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a follower saw no state event')), OPEN_DEADLINE_MS)
    const stream = request({
      host: '127.0.0.1',
      port: target.port,
      path: `/v1/states/${id}`,
      headers: { authorization: `Bearer ${target.bearer}`, accept: 'text/event-stream' },
      agent,
    })
    const follower: OpenFollower = { request: stream, ii, onPatch: () => {}, onEnd: (why) => reject(new Error(`follower: ${why}`)) }
    stream.on('error', (error) => follower.onEnd(error.message))
    stream.on('response', (response) => {
      if (response.statusCode !== 200) return follower.onEnd(`status ${response.statusCode}`)
      readEvents(response, (event, eventIi) => {
        if (event === 'patch') follower.onPatch(eventIi, performance.now())
        if (event === 'lagged') follower.onEnd('lagged')
        if (event !== 'state') return
        clearTimeout(timer)
        if (eventIi === ii) resolve(follower)
        else follower.onEnd(`state event at ${eventIi} instead of ${ii}`)
      })
      response.on('end', () => follower.onEnd('stream ended'))
    })
    stream.end()
  })
}

function readEvents(response: IncomingMessage, onEvent: (event: string, ii: number) => void): void {
  let text = ''
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end)
      text = text.slice(end + 2)
      const event = /^event: *(\w+)/m.exec(block)?.[1]
      if (event !== undefined) onEvent(event, Number(/^id: *(\d+)/m.exec(block)?.[1]))
    }
  })
}
