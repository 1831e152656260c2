/** socket.io of clients 0.9.182 and later: objects in the event `message`, both ways; without an argument it is a heartbeat. */
import type { IncomingMessage, Server as HttpServer } from 'node:http'
import { Server } from 'socket.io'
import type { Socket } from 'socket.io'
import { limits } from '#shared/limits.ts'
import { sidOf } from './sid.ts'
import type { AgentDoor, Closing, Transport } from '#shared/ports/agent-door.ts'

export const SOCKET_IO_PATH = '/socket.io/'

/** `allows`: which Origins may read what polling answers. */
export function attachSocketIo(server: HttpServer, onTransport: AgentDoor, allows: (origin: string | undefined) => boolean): { close(): void } {
  const io = new Server({
    path: SOCKET_IO_PATH,
    destroyUpgrade: false,
    serveClient: false,
    maxHttpBufferSize: limits.bodyBytes,
    perMessageDeflate: false,
    cors: { origin: (origin, answer) => answer(null, allows(origin)), credentials: true, allowedHeaders: ['sid', 'content-type'] },
  })
  io.on('connection', (socket) => opened(socket, onTransport))
  io.attach(server)
  return { close: () => io.disconnectSockets(true) }
}

function opened(socket: Socket, onTransport: AgentDoor): void {
  const events = onTransport(transportOf(socket))
  forgetRequest(socket)
  if (events === undefined) {
    socket.conn.close(true)
    return
  }
  socket.on('message', (value: unknown) => {
    if (value !== undefined && value !== null) events.message(plain(value))
  })
  socket.on('disconnect', (reason) => events.closed(closingOf(reason)))
}

/** All that is needed of it is in the transport: kept, the request and what was made of it would be half of what a connection costs. */
function forgetRequest(socket: Socket): void {
  const held = socket as unknown as { handshake: unknown; readonly conn: { request: unknown } }
  held.conn.request = null
  held.handshake = null
}

function transportOf(socket: Socket): Transport {
  const req = socket.request as IncomingMessage
  const header = req.headers['sid']
  return {
    origin: req.headers.origin,
    host: req.headers.host,
    sid: typeof header === 'string' ? header : sidOf(req),
    mayBeSilent: true,
    send: (text) => void socket.emit('message', JSON.parse(text)),
    heartbeat: () => void socket.emit('message'),
    get bufferedBytes() {
      return bufferedBytes(socket)
    },
    close: () => void socket.disconnect(true),
    cut: () => socket.conn.close(true),
  }
}

/** Of a WebSocket it is known; polls are taken one by one, and what waits for the next is in the engine's buffer. */
function bufferedBytes(socket: Socket): number {
  const { socket: webSocket } = socket.conn.transport as unknown as { socket?: { bufferedAmount?: number } }
  const waiting = (socket.conn as unknown as { writeBuffer: readonly { readonly data?: unknown }[] }).writeBuffer
  let bytes = webSocket?.bufferedAmount ?? 0
  for (const { data } of waiting) if (typeof data === 'string') bytes += data.length
  return bytes
}

function closingOf(reason: string): Closing {
  // The close message that came with it was dropped: the client may be back.
  return reason === 'client namespace disconnect' ? 'keepalive' : 'broken'
}

/** Attachments come as buffers: what is no JSON is made such, or refused. */
function plain(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value)) as unknown
  } catch {
    return undefined
  }
}
