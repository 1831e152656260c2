import { openColdStorage } from '#shared/adapters/embedded/cold-storage.ts'
import type { ColdStorage } from '#shared/ports/cold-storage.ts'

export function open(place: string): Promise<ColdStorage> {
  return openColdStorage({ directory: place })
}
