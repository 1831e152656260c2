/** The client of Firestore as composition makes it, for Google Cloud and for an emulator. */
import { Firestore } from '@google-cloud/firestore'
import { GoogleAuth, PassThroughClient } from 'google-auth-library'

export type FirestoreClientOptions = {
  readonly projectId: string
  /** Undefined: `(default)`. */
  readonly databaseId?: string
  /** `host:port`; undefined: Google Cloud. */
  readonly emulatorHost?: string
}

export function openFirestoreClient({ projectId, databaseId, emulatorHost }: FirestoreClientOptions): Firestore {
  const [host, port] = (emulatorHost ?? '').split(':')
  return new Firestore({
    projectId,
    ...(databaseId === undefined ? {} : { databaseId }),
    // What the client sets by itself for FIRESTORE_EMULATOR_HOST; "owner" is who the official emulator lets do everything.
    ...(emulatorHost === undefined ? {} : { host: host!, port: Number(port), ssl: false, customHeaders: { Authorization: 'Bearer owner' }, auth: nobody() }),
  })
}

/** Without it the client's first call looks for a metadata server, for seconds. */
function nobody(): GoogleAuth {
  return new GoogleAuth({ authClient: new PassThroughClient() })
}
