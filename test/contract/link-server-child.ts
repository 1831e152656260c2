/** A process that accepts links and does nothing else: prints its port. As in any entry, what nobody catches ends it. */
import type { Incarnation } from '#shared/ids.ts'
import { acceptLinks } from '#shared/link/connect.ts'
import { sharedSecret } from '#shared/link/shared-secret.ts'

const server = await acceptLinks({
  host: '127.0.0.1',
  port: 0,
  credentials: sharedSecret(Buffer.alloc(32, 1)),
  hello: () => ({ role: 'peer', name: 'child', incarnation: 'i' as Incarnation }),
  onLink: () => undefined,
})
process.stdout.write(`${server.port}\n`)
