/**
 * What a deployment of some size does and costs, counted from the design's operations: pure arithmetic, no measurement.
 *
 * Prices are list prices of Google Cloud in a large region as of 2025, in USD and rounded; discounts, taxes, free tiers and
 * network egress are left out. They change, so look them up before deciding: what counts are the operations beside them.
 */
import { limits } from '#shared/limits.ts'

export const PRICES_DATE = '2025'

/** USD, the unit last in the name. */
export const prices = {
  gcsClassAPerMillion: 5,
  gcsClassBPerMillion: 0.4,
  gcsPerGibMonth: 0.02,
  pubsubPerTib: 40,
  firestoreWritesPerMillion: 1.8,
  firestoreReadsPerMillion: 0.6,
  cloudRunPerVcpuSecond: 0.000018,
  cloudRunPerGibSecond: 0.000002,
  cloudSqlPerVcpuMonth: 30,
  cloudSqlPerGibMemoryMonth: 5.1,
  cloudSqlPerGibDiskMonth: 0.19,
  loadBalancerPerMonth: 18,
  loggingPerGib: 0.5,
} as const

/** Bounds of Google Cloud, as documented. */
export const bounds = {
  gcsWritesPerObjectPerSecond: 1,
  /** Object names without ramp-up: above it a bucket needs 20 minutes a doubling. */
  gcsWritesPerSecondAtFirst: 1_000,
  gcsReadsPerSecondAtFirst: 5_000,
  pubsubBytesPerKeyPerSecond: 1_000_000,
  cloudSqlConnections: 4_000,
  cloudRunServicesPerRegion: 1_000,
  cloudRunConnectionsPerInstance: 1_000,
  firestoreWritesPerDocumentPerSecond: 1,
} as const

const SECONDS_PER_MONTH = 30 * 86_400
const GIB = 2 ** 30

/** Assumptions, measured by `npm run bench` or taken from the design; each may be wrong by two. */
export const assumed = {
  /** One create-only put of GCS. */
  putMs: 75,
  patchBytes: 300,
  stateBytes: 1_000,
  /** Above its JSON, with a few keys in its window. */
  trackedStateOverheadBytes: 2_700,
  processBaseMib: 250,
  /** Acknowledgements/s of one vCPU. */
  patchesPerVcpuOfStateProcess: 6_000,
  patchesPerVcpuOfApi: 3_000,
  /** Pushes/s and upserts/s. */
  mirrorRowsPerVcpu: 2_000,
  /** Bytes of a message beside the patch: attributes and envelope. */
  messageOverheadBytes: 300,
  /** Share of patches whose state is configured for a mirror beyond metadata: all are at least written behind. */
  rowsPerPatch: 1,
  /** Request logs of Cloud Run, one an HTTP request. */
  logBytesPerRequest: 900,
  apiVcpus: 2,
  stateProcessVcpus: 2,
  connectionsPerInstance: 40,
} as const

export type Size = {
  readonly patchesPerSecond: number
  /** States that are written or followed within an hour: what is tracked. */
  readonly states: number
  readonly domains: number
  /** Open streams. */
  readonly followers: number
  readonly stateProcesses: number
}

export type Cost = { readonly what: string; readonly usdPerMonth: number }
export type Limit = {
  readonly what: string
  readonly used: number
  readonly bound: number
  /** used / bound. */
  readonly share: number
  readonly change: string
}

export type Capacity = {
  readonly bundlePutsPerSecond: number
  readonly patchesPerBundle: number
  readonly idFilePutsPerSecond: number
  readonly classAPerSecond: number
  readonly classBPerSecond: number
  readonly messagesPerSecond: number
  readonly rowsPerSecond: number
  readonly firestoreWritesPerSecond: number
  readonly firestoreReadsPerSecond: number
  readonly memoryMibPerStateProcess: number
  readonly apiInstances: number
  readonly gatewayInstances: number
  readonly mirrorVcpus: number
  readonly connections: number
  readonly costs: readonly Cost[]
  readonly usdPerMonth: number
  /** Undefined where nothing is patched. */
  readonly usdPerMillionPatches: number | undefined
  /** Nearest first. */
  readonly limits: readonly Limit[]
}

export function capacity(size: Size): Capacity {
  const operations = operationsOf(size)
  const instances = instancesOf(size)
  const costs = costsOf(size, operations, instances)
  const usdPerMonth = costs.reduce((sum, cost) => sum + cost.usdPerMonth, 0)
  const patchesPerMonth = size.patchesPerSecond * SECONDS_PER_MONTH
  return {
    ...operations,
    ...instances,
    costs,
    usdPerMonth,
    usdPerMillionPatches: patchesPerMonth > 0 ? usdPerMonth / (patchesPerMonth / 1e6) : undefined,
    limits: limitsOf(size, operations, instances).sort((a, b) => b.share - a.share),
  }
}

type Operations = ReturnType<typeof operationsOf>
type Instances = ReturnType<typeof instancesOf>

function operationsOf({ patchesPerSecond, states, stateProcesses }: Size) {
  // A bundle closes when the put before it returns: while busy one a put's time and process, and never more than patches.
  const mostPuts = stateProcesses / (assumed.putMs / 1000)
  // A full bundle goes at once, beside the one under way.
  const fullest = Math.max(patchesPerSecond / limits.bundleInteractions, (patchesPerSecond * assumed.patchBytes) / limits.bundleBytes)
  const bundlePutsPerSecond = Math.max(Math.min(patchesPerSecond, mostPuts), fullest)
  // One ID file a changed state and checkpoint; at least every `slotTailAgeMs` while a slot is written.
  const checkpointsPerSecond = 1000 / limits.slotTailAgeMs
  const changedAtCheckpoint = Math.min(states, patchesPerSecond / checkpointsPerSecond)
  const idFilePutsPerSecond = changedAtCheckpoint * checkpointsPerSecond
  const checkpointPutsPerSecond = Math.min(1024, changedAtCheckpoint) * checkpointsPerSecond
  // Segments: each bundle is merged by 16, twice.
  const segmentPutsPerSecond = bundlePutsPerSecond * (1 / limits.segmentFanIn + 1 / limits.segmentFanIn ** 2)
  // Retention lists what it deletes (1,000 a list) and slots once an hour; deletes are free.
  const listsPerSecond = bundlePutsPerSecond / 1000 + (2 * 1024) / 3600
  const classAPerSecond = bundlePutsPerSecond + idFilePutsPerSecond + checkpointPutsPerSecond + segmentPutsPerSecond + listsPerSecond
  // Retention reads each object that it deletes; recovery is rare.
  const classBPerSecond = bundlePutsPerSecond + segmentPutsPerSecond + 1024 / 3600
  return {
    bundlePutsPerSecond,
    patchesPerBundle: bundlePutsPerSecond > 0 ? patchesPerSecond / bundlePutsPerSecond : 0,
    idFilePutsPerSecond,
    classAPerSecond,
    classBPerSecond,
    messagesPerSecond: patchesPerSecond,
    rowsPerSecond: patchesPerSecond * assumed.rowsPerPatch,
  }
}

function instancesOf({ patchesPerSecond, states, followers, stateProcesses }: Size) {
  const owners = Math.min(limits.owners, stateProcesses)
  const perState = assumed.stateBytes + assumed.trackedStateOverheadBytes
  // Every owner may track its copy; bundles of the last minute and the tail of logs are held besides.
  const tracked = Math.min(limits.trackedStates, (states * owners) / stateProcesses)
  const held = Math.min(limits.logTailBytes, ((patchesPerSecond * assumed.patchBytes) / stateProcesses) * 60)
  const apiInstances = Math.max(2, Math.ceil(patchesPerSecond / (assumed.patchesPerVcpuOfApi * assumed.apiVcpus)), Math.ceil(followers / bounds.cloudRunConnectionsPerInstance))
  const gatewayInstances = 1
  const mirrorVcpus = patchesPerSecond / assumed.mirrorRowsPerVcpu
  const heartbeats = (stateProcesses * 1000) / limits.directoryHeartbeatMs
  return {
    memoryMibPerStateProcess: Math.ceil(assumed.processBaseMib + (tracked * perState + held) / 2 ** 20),
    apiInstances,
    gatewayInstances,
    mirrorVcpus,
    connections: (apiInstances + gatewayInstances + Math.ceil(mirrorVcpus)) * assumed.connectionsPerInstance,
    firestoreWritesPerSecond: heartbeats,
    // Everybody watches: each record that changes is read by each process and instance.
    firestoreReadsPerSecond: heartbeats * (stateProcesses + apiInstances + gatewayInstances),
  }
}

function costsOf(size: Size, operations: Operations, instances: Instances): Cost[] {
  const perMonth = (perSecond: number): number => perSecond * SECONDS_PER_MONTH
  const millions = (perSecond: number): number => perMonth(perSecond) / 1e6
  const run = (count: number, vcpus: number, gib: number): number => perMonth(count * (vcpus * prices.cloudRunPerVcpuSecond + gib * prices.cloudRunPerGibSecond))
  const messageBytes = perMonth(operations.messagesPerSecond * (assumed.patchBytes + assumed.messageOverheadBytes))
  const sqlVcpus = Math.max(1, Math.ceil(operations.rowsPerSecond / assumed.mirrorRowsPerVcpu))
  // History is kept: every patch once more in ID files.
  const storedGib = (size.states * assumed.stateBytes + perMonth(size.patchesPerSecond * assumed.patchBytes)) / GIB
  return [
    { what: 'state processes', usdPerMonth: run(size.stateProcesses, assumed.stateProcessVcpus, instances.memoryMibPerStateProcess / 1024) },
    { what: 'api', usdPerMonth: run(instances.apiInstances, assumed.apiVcpus, 2) },
    { what: 'gateway', usdPerMonth: run(instances.gatewayInstances, 1, 2) },
    { what: 'domain worker', usdPerMonth: size.domains > 0 ? run(1, 2, 4) : 0 },
    { what: 'mirror', usdPerMonth: run(instances.mirrorVcpus, 1, 1) },
    { what: 'cold storage, operations', usdPerMonth: millions(operations.classAPerSecond) * prices.gcsClassAPerMillion + millions(operations.classBPerSecond) * prices.gcsClassBPerMillion },
    { what: 'cold storage, one month of history', usdPerMonth: storedGib * prices.gcsPerGibMonth },
    // Published once, delivered once.
    { what: 'Pub/Sub', usdPerMonth: ((2 * messageBytes) / 2 ** 40) * prices.pubsubPerTib },
    { what: 'directory', usdPerMonth: millions(instances.firestoreWritesPerSecond) * prices.firestoreWritesPerMillion + millions(instances.firestoreReadsPerSecond) * prices.firestoreReadsPerMillion },
    { what: 'Cloud SQL', usdPerMonth: sqlVcpus * (prices.cloudSqlPerVcpuMonth + 3.75 * prices.cloudSqlPerGibMemoryMonth) + Math.max(10, storedGib / 10) * prices.cloudSqlPerGibDiskMonth },
    { what: 'load balancer', usdPerMonth: prices.loadBalancerPerMonth },
    { what: 'request logs', usdPerMonth: (perMonth(size.patchesPerSecond * assumed.logBytesPerRequest) / GIB) * prices.loggingPerGib },
  ]
}

function limitsOf(size: Size, operations: Operations, instances: Instances): Limit[] {
  const { patchesPerSecond, states, stateProcesses } = size
  const limit = (what: string, used: number, bound: number, change: string): Limit => ({ what, used, bound, share: used / bound, change })
  // If all of it falls on one state, the worst case: its key in Pub/Sub.
  const hottest = states > 0 ? (patchesPerSecond / states) * (assumed.patchBytes + assumed.messageOverheadBytes) : 0
  return [
    limit('writes/s of cold storage without ramp-up', operations.classAPerSecond, bounds.gcsWritesPerSecondAtFirst, 'nothing while load grows slowly (GCS doubles in 20 minutes); else longer slotTailAgeMs: fewer ID files'),
    limit('reads/s of cold storage without ramp-up', operations.classBPerSecond, bounds.gcsReadsPerSecondAtFirst, 'retention runs longer, at a lower rate'),
    limit('bytes/s of an average state through one key of Pub/Sub', hottest, bounds.pubsubBytesPerKeyPerSecond, 'split the hot state: order is per state'),
    limit('patches/s of one state process', patchesPerSecond / stateProcesses, assumed.patchesPerVcpuOfStateProcess, 'more state_process_names: slots move by hand-over (one process leads with one core)'),
    limit('tracked states of one state process', (states * Math.min(limits.owners, stateProcesses)) / stateProcesses, limits.trackedStates, 'more state processes; past it the least recently used are read again when asked for'),
    limit('connections of Cloud SQL', instances.connections, bounds.cloudSqlConnections, 'fewer connections_per_instance, or a pooler; then a second instance and domains divided between them'),
    limit('services of Cloud Run in the region', stateProcesses + 6, bounds.cloudRunServicesPerRegion, 'ask for more; far behind the directory'),
    limit('writes/s of a member record in the directory', 1000 / limits.directoryHeartbeatMs, bounds.firestoreWritesPerDocumentPerSecond, 'a longer directoryHeartbeatMs on Google Cloud: links tell sooner who is gone'),
    limit('connections of the api: streams', size.followers / instances.apiInstances, bounds.cloudRunConnectionsPerInstance, 'more instances of the api (sizes.api.most)'),
    limit('interactions that wait during one put', (patchesPerSecond / stateProcesses) * (assumed.putMs / 1000), limits.bundleInteractions * limits.bundlePuts, 'more state processes'),
  ]
}
