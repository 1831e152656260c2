import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import { coldStorageContract } from './cold-storage-contract.ts'
import { open } from './embedded-cold-storage-module.ts'
import { makeTemporaryFolder, removeTemporaryFolder } from './temporary-folder.ts'

const folders = { place: makeTemporaryFolder, remove: removeTemporaryFolder }

coldStorageContract('embedded', { ...folders, open, module: new URL('./embedded-cold-storage-module.ts', import.meta.url) })

coldStorageContract('embedded, one thread', { ...folders, open: (directory) => openColdStorage({ directory, threads: 1 }) })

coldStorageContract('embedded, in the calling thread', { ...folders, open: (directory) => openColdStorage({ directory, threads: 0 }) })
