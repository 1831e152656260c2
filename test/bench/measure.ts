/**
 * Statistics, and what the kernel knows about processes and the machine. Everything here is read from
 * outside, so that no subject spends anything on being measured.
 *
 * Without /proc (not Linux) the CPU figures are NaN and print as "n/a"; nothing else needs it.
 */
import { readdirSync, readFileSync } from 'node:fs'

export type Spread = { readonly median: number; readonly least: number; readonly greatest: number }

export function spread(values: readonly number[]): Spread {
  const known = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  return { median: percentile(known, 0.5), least: known[0] ?? NaN, greatest: known.at(-1) ?? NaN }
}

export function median(values: readonly number[]): number {
  return spread(values).median
}

/** The value below which `share` of `sorted` lies; the middle of the two nearest for an even median. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return NaN
  const at = share * (sorted.length - 1)
  const below = sorted[Math.floor(at)] ?? NaN
  const above = sorted[Math.ceil(at)] ?? NaN
  return share === 0.5 ? (below + above) / 2 : above
}

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICK_MS = 10

type ProcessStat = { readonly parent: number; readonly cpuMs: number }

function processStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command is in parentheses and may hold anything; the numbers begin behind the last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { parent: Number(fields[1]), cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS }
  } catch {
    return undefined // It ended while we looked, or there is no /proc.
  }
}

export function allPids(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** `root` and all that descend from it, parents first. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const pid of allPids()) {
    const stat = processStat(pid)
    if (stat === undefined) continue
    const siblings = children.get(stat.parent)
    if (siblings === undefined) children.set(stat.parent, [pid])
    else siblings.push(pid)
  }
  const tree = [root]
  for (let at = 0; at < tree.length; at += 1) tree.push(...(children.get(tree[at]!) ?? []))
  return tree
}

/** utime + stime of `root` and all that descend from it; those that ended are forgotten. */
export function treeCpuMs(root: number): number {
  const stats = processTree(root).map(processStat)
  return stats[0] === undefined ? NaN : stats.reduce((sum, stat) => sum + (stat?.cpuMs ?? 0), 0)
}

export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter((part) => part !== '')
  } catch {
    return []
  }
}

export function residentBytes(pid: number): number {
  try {
    const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
    return Number(line?.[1]) * 1024
  } catch {
    return NaN
  }
}

/** CPU that all processes of this machine used, and that the hypervisor gave to others, since boot. */
export function machineCpuMs(): { readonly busyMs: number; readonly stolenMs: number } {
  try {
    const [user, nice, system, , , irq, softIrq, stolen] = readFileSync('/proc/stat', 'latin1')
      .split('\n', 1)[0]!.trim().split(/\s+/).slice(1).map(Number) as [number, number, number, number, number, number, number, number]
    return { busyMs: (user + nice + system + irq + softIrq) * TICK_MS, stolenMs: stolen * TICK_MS }
  } catch {
    return { busyMs: NaN, stolenMs: NaN }
  }
}
