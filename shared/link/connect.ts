/** How a link comes to be: dialled or accepted, authenticated, both sides' hello. */
import { createServer, type Server } from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'
import { limits } from '#shared/limits.ts'
import { Link, type Codec, type Pace } from '#shared/link/link.ts'
import { LINK_VERSION, stateCodec, type Hello, type LinkMessage } from '#shared/link/messages.ts'

/** Who may open a link, and how one shows that one may. */
export interface LinkCredentials {
  /** Value of the Authorization header, for a link to `address`. Rejects where none can be had just now. */
  header(address: string): Promise<string>
  /** Whether it is valid. */
  check(header: string | undefined): Promise<boolean>
}

const SOCKET_OPTIONS = { perMessageDeflate: false, maxPayload: 64 * 1024 * 1024, handshakeTimeout: 2_000 } as const

/** Masks protect proxies from what a browser's page sends; nothing hostile dials from here. Zeros leave the bytes as they are. */
function maskNothing(mask: Buffer): void {
  mask.fill(0)
}

/** The first message of a socket as a hello; closes a socket that says anything else, or nothing in time. */
function expectHello(socket: WebSocket, then: (hello: Hello) => void): void {
  const deadline = setTimeout(() => socket.terminate(), limits.linkHelloMs)
  socket.once('error', () => socket.terminate())
  socket.once('close', () => clearTimeout(deadline))
  socket.once('message', (data: Buffer) => {
    clearTimeout(deadline)
    let hello: Hello | undefined
    try {
      hello = JSON.parse(data.toString()) as Hello
    } catch {
      hello = undefined
    }
    if (hello?.kind !== 'hello' || hello.version !== LINK_VERSION) return socket.terminate()
    then(hello)
  })
}

/** Opens a link to `address` (host:port or URL). `then` gets it after both hellos, or undefined. */
export function dial(
  address: string,
  hello: () => Omit<Hello, 'kind' | 'version'>,
  credentials: LinkCredentials,
  then: (link: Link | undefined) => void,
): Promise<void> {
  return dialWith(stateCodec, { address, hello, credentials, then })
}

/** The same, of links on which something else is said. */
export async function dialWith<Message>(
  codec: Codec<Message>,
  options: {
    readonly address: string
    readonly hello: () => Omit<Hello, 'kind' | 'version'>
    readonly credentials: LinkCredentials
    readonly then: (link: Link<Message> | undefined) => void
  },
): Promise<void> {
  const { address, hello, credentials, then } = options
  const url = address.includes('://') ? address : `ws://${address}`
  const authorization = await credentials.header(address).catch(() => undefined)
  if (authorization === undefined) return then(undefined)
  // Cloud Run takes the signature off the one that it looks at; the other one arrives whole.
  const headers = { authorization, 'x-serverless-authorization': authorization }
  const socket = new WebSocket(url, { ...SOCKET_OPTIONS, generateMask: maskNothing, headers })
  let link: Link<Message> | undefined
  socket.on('error', () => socket.terminate())
  socket.once('close', () => {
    if (link === undefined) then(undefined)
  })
  socket.once('open', () => {
    socket.send(JSON.stringify({ kind: 'hello', version: LINK_VERSION, ...hello() } satisfies Hello))
    expectHello(socket, (peer) => {
      link = new Link(socket, peer, codec)
      then(link)
    })
  })
}

type Acceptance<Message> = {
  readonly host: string
  readonly port: number
  readonly credentials: LinkCredentials
  readonly hello: () => Omit<Hello, 'kind' | 'version'>
  readonly onLink: (link: Link<Message>) => void
  readonly pace?: Pace
}

export type LinkServer = { readonly port: number; close(): Promise<void> }

/** Accepts links on `host`:`port`; `other` answers plain HTTP requests. */
export function acceptLinks(options: Acceptance<LinkMessage>): Promise<LinkServer> {
  return acceptWith(stateCodec, options)
}

/** The same, of links on which something else is said. */
export function acceptWith<Message>(codec: Codec<Message>, options: Acceptance<Message>): Promise<LinkServer> {
  const { host, port, credentials, hello, onLink, pace } = options
  const server: Server = createServer((_, res) => res.writeHead(200).end('{}'))
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: SOCKET_OPTIONS.maxPayload })
  server.on('upgrade', (request, socket, head) => {
    // Whoever knocks may hang up at any time; once it is a link, the link looks after its end.
    socket.on('error', () => socket.destroy())
    void credentials.check(request.headers.authorization).then((valid) => {
      if (!valid) return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n')
      sockets.handleUpgrade(request, socket, head, (accepted) =>
        expectHello(accepted, (peer) => {
          accepted.send(JSON.stringify({ kind: 'hello', version: LINK_VERSION, ...hello() } satisfies Hello))
          onLink(new Link(accepted, peer, codec, pace))
        }),
      )
    })
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      const address = server.address()
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        close: () =>
          new Promise((closed) => {
            for (const client of sockets.clients) client.terminate()
            server.close(() => closed())
            server.closeAllConnections()
          }),
      })
    })
  })
}
