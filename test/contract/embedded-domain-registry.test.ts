import { expect, test } from '@jest/globals'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openDomainRegistry } from '#shared/adapters/embedded/domain-registry.ts'
import { domainRegistryContract, record } from './domain-registry-contract.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

domainRegistryContract('embedded', {
  place: makeTemporaryFolder,
  open: (folder) => openDomainRegistry({ folder }),
  remove: removeTemporaryFolder,
})

test('a damaged record stops the opening and is named: its domain could be claimed by anybody', async () => {
  const folder = await makeTemporaryFolder()
  const registry = await openDomainRegistry({ folder })
  await registry.write(record('a.example.com', 1))
  await registry.close()
  const [file] = await readdir(folder)
  const path = join(folder, file!)
  const bytes = await readFile(path)
  bytes[bytes.length - 5]! ^= 1
  await writeFile(path, bytes)
  await expect(openDomainRegistry({ folder })).rejects.toThrow(path)
  await removeTemporaryFolder(folder)
})
