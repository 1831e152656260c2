/** A made-up service account, which signs addresses that the emulator then knows: in the form of a key file of Google's. */
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

export type ServiceAccount = { readonly client_email: string; readonly private_key: string }

const EMAIL = 'emulated@state-platform.iam.gserviceaccount.com'

/** Made where it is missing: addresses that are out outlive a restart. Throws what the file system says. */
export function keptServiceAccount(path: string): ServiceAccount {
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const account = {
      type: 'service_account',
      project_id: 'emulated',
      private_key_id: 'emulated',
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      client_email: EMAIL,
      client_id: '0',
      token_uri: 'https://oauth2.invalid/token',
    }
    writeFileSync(`${path}.tmp`, JSON.stringify(account), { mode: 0o600 })
    renameSync(`${path}.tmp`, path)
  }
  const { client_email, private_key } = JSON.parse(readFileSync(path, 'utf8')) as ServiceAccount
  return { client_email, private_key }
}

export function publicKeyOf({ private_key }: ServiceAccount): string {
  return String(createPublicKey(private_key).export({ type: 'spki', format: 'pem' }))
}
