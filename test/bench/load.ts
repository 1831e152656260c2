/**
 * The generator process: does what `generator.ts` asks for, one command at a time, and answers with figures.
 * It keeps the populations (states and their expected indexes) between commands.
 */
import { chase } from './load/chase.ts'
import { crash, firstAcknowledgement, verify } from './load/crash.ts'
import { drive, fill } from './load/drive.ts'
import { follow } from './load/followers.ts'
import { Population } from './load/population.ts'
import type { Command, Commands, Reply } from './generator.ts'

const populations = new Map<string, Population>()

function population(name: string): Population {
  const found = populations.get(name)
  if (found === undefined) throw new Error(`no population "${name}"`)
  return found
}

const handlers: { [K in keyof Commands]: (args: Commands[K]['args']) => Promise<Commands[K]['result']> } = {
  async populate({ name, target, states, clients, keyed }) {
    const made = new Population(target, states)
    populations.set(name, made)
    return fill(made, { clients, op: 'add', states, times: 1, keyed })
  },
  async retarget({ name, target }) {
    population(name).target = target
  },
  async fill({ name, ...options }) {
    return fill(population(name), { ...options, op: 'replace', keyed: true })
  },
  async drive({ name, ...options }) {
    return drive(population(name), options)
  },
  async follow({ name, ...options }) {
    return follow(population(name), options)
  },
  async chase({ name, ...options }) {
    return chase(population(name), options)
  },
  async crash({ name, ...options }) {
    return crash(population(name), options)
  },
  async firstAcknowledgement({ name, deadlineMs }) {
    return firstAcknowledgement(population(name), { deadlineMs })
  },
  async verify({ name, unacknowledged }) {
    return verify(population(name), { unacknowledged })
  },
  async id({ name, at }) {
    return population(name).ids[at]!
  },
}

process.on('message', (command: Command) => {
  const handler = handlers[command.name] as (args: unknown) => Promise<unknown>
  handler(command.args).then(
    (result) => reply({ kind: 'done', result }),
    (error: unknown) => reply({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }),
  )
})
// Ctrl-C reaches the whole group; the benchmark decides what happens then.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit(0))

function reply(message: Reply): void {
  process.send?.(message)
}
