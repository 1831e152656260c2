/** WebSockets of clients up to 0.9.155: text frames of one JSON object, an empty one is a heartbeat. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { RawData, WebSocket } from 'ws'
import { limits } from '#shared/limits.ts'
import { sidOf } from './sid.ts'
import type { AgentDoor, Closing, Transport } from '#shared/ports/agent-door.ts'

/** No status, "going away", "normal": the client's page has ended it. */
const CLEAN_CODES: ReadonlySet<number> = new Set([1000, 1001, 1005])

export class WebSockets {
  readonly #server = new WebSocketServer({ noServer: true, clientTracking: false, maxPayload: limits.bodyBytes, perMessageDeflate: false })
  readonly #onTransport: AgentDoor

  constructor(onTransport: AgentDoor) {
    this.#onTransport = onTransport
  }

  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(req, socket, head, (webSocket) => this.#opened(webSocket, req))
  }

  #opened(webSocket: WebSocket, req: IncomingMessage): void {
    const events = this.#onTransport(transportOf(webSocket, req))
    webSocket.on('error', () => webSocket.terminate())
    if (events === undefined) {
      webSocket.terminate()
      return
    }
    webSocket.on('message', (data: RawData, isBinary: boolean) => {
      const text = isBinary ? 'binary' : String(data)
      // A client's heartbeat.
      if (text !== '') events.message(parsed(text))
    })
    webSocket.on('close', (code: number) => events.closed(closingOf(code)))
  }
}

function transportOf(webSocket: WebSocket, req: IncomingMessage): Transport {
  return {
    origin: req.headers.origin,
    host: req.headers.host,
    sid: sidOf(req),
    mayBeSilent: false,
    send: (text) => webSocket.send(text),
    heartbeat: () => webSocket.send(''),
    get bufferedBytes() {
      return webSocket.bufferedAmount
    },
    close: () => webSocket.close(1000),
    cut: () => webSocket.terminate(),
  }
}

function closingOf(code: number): Closing {
  return CLEAN_CODES.has(code) ? 'clean' : 'broken'
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
