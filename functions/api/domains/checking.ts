/** The check of a configuration as a whole, its module included: that one has to load to be known as good. */
import { parseDomainConfig } from '#shared/domain/config.ts'
import type { ConfigAnswer, ModuleFault } from '#shared/domain/config.ts'
import type { DomainWorker } from '#shared/ports/domain-worker.ts'
import { moduleOf } from './in-force.ts'

export type CheckedConfig = (ConfigAnswer & { readonly isAgent?: boolean }) | { readonly kind: 'unavailable' }

/** `isAgent`: the module is a domain agent's. `unavailable`: the module cannot be loaded now, by no fault of its own. */
export async function checkConfig(text: string, domain: string, worker: DomainWorker): Promise<CheckedConfig> {
  let source: string | undefined
  const take = (module: string): readonly ModuleFault[] => {
    source = module
    return []
  }
  const parsed = parseDomainConfig(text, { checkModule: take })
  if (source === undefined) return parsed
  const loaded = await worker.load(moduleOf(domain, source))
  switch (loaded.kind) {
    case 'loaded':
      return { ...parsed, isAgent: loaded.isAgent === true }
    case 'unavailable':
      return { kind: 'unavailable' }
    case 'faulty': {
      const fault = { line: loaded.line ?? 1, column: loaded.column ?? 1, message: loaded.message }
      return parseDomainConfig(text, { checkModule: () => [fault] })
    }
  }
}
