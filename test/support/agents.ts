/**
 * The published clients, in Node: their generic part on connections of ours, as their browser part has them. 0.9.193 has an
 * import attribute of a form that Node no longer parses, so that it runs from a copy in which that one line is another.
 */
import { randomUUID } from 'node:crypto'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fastJsonPatch from 'fast-json-patch'
import { io } from 'socket.io-client'
import { WebSocket } from 'ws'

const MODULES = join(import.meta.dirname, '../../node_modules')

const HEARTBEAT_WAIT_MS = 10_000

export type Version = '0.9.155' | '0.9.193'

// oxlint-disable-next-line typescript/no-explicit-any -- the clients have no types
type Anything = any

export type TestAgent = {
  readonly agent: Anything
  /** Everything that came over its connections, heartbeats left out. */
  readonly heard: Anything[]
  /** How often it has opened a connection. */
  readonly connections: () => number
  /** Breaks its connection without a word: the client finds it lost, and comes back. */
  readonly breakConnection: () => void
  /** Takes nothing more from its connection, and says nothing; what is returned lets it go on. */
  readonly stopReading: () => () => void
  /** Ends it for good. */
  readonly leave: () => void
  readonly rebooted: () => number
}

export type Clients = { readonly open: (version: Version, options: AgentOptions) => TestAgent; readonly close: () => Promise<void> }
/** `port`: asked for every connection. */
export type AgentOptions = { readonly port: number | (() => number); readonly domain?: string; readonly sid?: string; readonly token?: string | null }

type Connection = { onopen?: () => void; onmessage?: (message: Anything) => void; onclose?: (reason: Anything) => void; onerror?: (error: Anything) => void; send: (message: Anything) => void; close: (info: Anything) => void }
/** `stop`: for good; one that is cut may come back by itself. */
type Carried = { readonly connection: Connection; readonly cut: () => void; readonly stop: () => void; /** Undefined: it has none yet. */ readonly webSocket: () => WebSocket | undefined }

export async function loadClients(): Promise<Clients> {
  const restoreTimers = letTimersGo()
  const folder = await mkdtemp(join(tmpdir(), 'agents-'))
  await cp(join(MODULES, '@knowlearning/agents/agents'), join(folder, 'agents'), { recursive: true })
  await cp(join(MODULES, '@knowlearning/agents/package.json'), join(folder, 'package.json'))
  await symlink(MODULES, join(folder, 'node_modules'))
  const queue = join(folder, 'agents/generic/message-queue.js')
  const text = await readFile(queue, 'utf8')
  await writeFile(queue, text.replace(/^import pkg from .*$/m, "const pkg = { version: '0.9.193' }"))
  const generic = {
    '0.9.155': ((await import(pathToFileURL(join(MODULES, 'agents-websocket/agents/generic/index.js')).href)) as Anything).default,
    '0.9.193': ((await import(pathToFileURL(join(folder, 'agents/generic/index.js')).href)) as Anything).default,
  }
  const all: TestAgent[] = []
  return {
    open: (version, options) => {
      const opened = openAgent(generic[version], version === '0.9.155' ? overWebSocket : overSocketIo, options)
      all.push(opened)
      return opened
    },
    close: async () => {
      for (const { leave } of all) leave()
      restoreTimers()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The clients' wait for a heartbeat, which nothing ends, must not keep the tests' process. */
function letTimersGo(): () => void {
  const original = globalThis.setTimeout
  const letGo = (then: () => void, ms?: number, ...rest: []): NodeJS.Timeout => {
    const timer = original(then, ms, ...rest)
    return (ms ?? 0) >= HEARTBEAT_WAIT_MS ? timer.unref() : timer
  }
  globalThis.setTimeout = letGo as typeof setTimeout
  return () => {
    globalThis.setTimeout = original
  }
}

function openAgent(generic: Anything, carry: typeof overWebSocket, { port, domain = 'localhost:5112', sid = randomUUID().replaceAll('-', ''), token = null }: AgentOptions): TestAgent {
  const heard: Anything[] = []
  const carried: Carried[] = []
  let rebooted = 0
  let hasLeft = false
  // Called with `new`: what it returns is the connection.
  const Connection = function Connection(): Connection {
    const made = carry(typeof port === 'number' ? port : port(), domain, sid, heard)
    carried.push(made)
    // One that it was already about to open, and would try to open for ever.
    if (hasLeft) setImmediate(made.stop)
    return made.connection
  }
  const agent = generic({
    Connection,
    domain,
    token: () => Promise.resolve(carried.length > 1 ? null : token),
    sid: () => sid,
    uuid: () => randomUUID(),
    fetch,
    applyPatch: fastJsonPatch.applyPatch,
    login: () => undefined,
    logout: () => undefined,
    reboot: () => {
      rebooted += 1
    },
    log: () => undefined,
  })
  const cutLast = (): void => carried.at(-1)!.cut()
  return {
    agent,
    heard,
    connections: () => carried.length,
    breakConnection: cutLast,
    stopReading: () => {
      const webSocket = carried.at(-1)!.webSocket()!
      webSocket.pause()
      return () => webSocket.resume()
    },
    leave: () => {
      hasLeft = true
      // By this it stops coming back; what it would send has no connection to go over any more.
      try {
        agent.disconnect()
      } catch {
        // Its connection was never open.
      }
      for (const { stop } of carried) stop()
    },
    rebooted: () => rebooted,
  }
}

/** As browsers hand on what comes: all that waits for one message goes on before the next. */
function inATaskOfItsOwn(handOn: () => void): void {
  setImmediate(handOn)
}

function overWebSocket(port: number, domain: string, _sid: string, heard: Anything[]): Carried {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/`, { origin: `http://${domain}` })
  const connection: Connection = {
    send: (message) => webSocket.send(JSON.stringify(message)),
    close: (info) => {
      connection.send({ type: 'close', info })
      webSocket.close()
    },
  }
  webSocket.on('open', () => connection.onopen?.())
  webSocket.on('message', (data) => {
    const text = String(data)
    if (text !== '') heard.push(JSON.parse(text))
    inATaskOfItsOwn(() => connection.onmessage?.(text === '' ? null : JSON.parse(text)))
  })
  webSocket.on('error', (error) => connection.onerror?.(error))
  webSocket.on('close', (code) => connection.onclose?.({ message: String(code) }))
  return { connection, cut: () => webSocket.terminate(), stop: () => webSocket.terminate(), webSocket: () => webSocket }
}

function overSocketIo(port: number, domain: string, sid: string, heard: Anything[]): Carried {
  const socket = io(`http://127.0.0.1:${port}`, { extraHeaders: { sid, Origin: `http://${domain}` }, forceNew: true })
  const connection: Connection = {
    send: (message) => void socket.emit('message', message),
    close: (info) => {
      connection.send({ type: 'close', info })
      socket.disconnect()
    },
  }
  socket.on('connect', () => connection.onopen?.())
  socket.on('message', (data: Anything) => {
    if (data !== undefined) heard.push(structuredClone(data))
    inATaskOfItsOwn(() => connection.onmessage?.(data))
  })
  socket.on('disconnect', (reason) => connection.onclose?.({ message: reason }))
  // Polls come first.
  const webSocket = (): WebSocket | undefined => (socket.io.engine?.transport as unknown as { readonly ws?: WebSocket } | undefined)?.ws
  const cut = (): void => {
    // One that is only being opened cannot be lost: it would never say so.
    if (!socket.connected) return
    const carrying = webSocket()
    if (carrying === undefined) socket.io.engine?.close()
    else carrying.terminate()
  }
  return { connection, cut, stop: () => void socket.disconnect(), webSocket }
}

/** A connection without a client: its messages one by one. */
export type Wire = {
  readonly send: (message: unknown) => void
  readonly sendText: (text: string) => void
  readonly next: () => Promise<Anything>
  readonly isOpen: () => boolean
  readonly closed: Promise<void>
  readonly end: () => void
  readonly cut: () => void
}

const wires = new Set<WebSocket>()

/** After each test: one that failed has left some open, and waits for what does not come. */
export function cutWires(): void {
  for (const webSocket of wires) webSocket.terminate()
}

export async function wireTo(port: number, origin: string): Promise<Wire> {
  const webSocket = new WebSocket(`ws://127.0.0.1:${port}/`, { origin })
  const came: Anything[] = []
  const waiting: ((message: Anything) => void)[] = []
  webSocket.on('message', (data) => {
    const text = String(data)
    if (text === '') return
    const take = waiting.shift()
    if (take === undefined) came.push(JSON.parse(text))
    else take(JSON.parse(text))
  })
  wires.add(webSocket)
  const closed = new Promise<void>((resolve) =>
    webSocket.on('close', () => {
      wires.delete(webSocket)
      resolve()
    }),
  )
  await new Promise((resolve, reject) => webSocket.on('open', resolve).on('error', reject))
  return {
    send: (message) => webSocket.send(JSON.stringify(message)),
    sendText: (text) => webSocket.send(text),
    next: () => (came.length > 0 ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve))),
    isOpen: () => webSocket.readyState === WebSocket.OPEN,
    closed,
    end: () => webSocket.close(),
    cut: () => webSocket.terminate(),
  }
}
