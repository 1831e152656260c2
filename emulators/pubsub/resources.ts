/** Topics and subscriptions as they are created, changed and shown: bounds and defaults of Pub/Sub. */
import { invalid, unimplemented } from '../grpc-status.ts'
import { FilterError, parseFilter, type Filter } from './filter.ts'
import type { BacklogRules } from './backlog.ts'

export type Duration = { readonly seconds: number; readonly nanos: number }

export type Topic = { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly messageRetentionDuration: Duration | null }

/** Fields as in pubsub.proto: what comes in goes out. */
export type Subscription = {
  readonly name: string
  readonly topic: string
  readonly pushConfig: { readonly pushEndpoint: string; readonly attributes: Readonly<Record<string, string>>; readonly oidcToken: object | null } | null
  readonly ackDeadlineSeconds: number
  readonly retainAckedMessages: boolean
  readonly messageRetentionDuration: Duration
  readonly labels: Readonly<Record<string, string>>
  readonly enableMessageOrdering: boolean
  readonly expirationPolicy: { readonly ttl: Duration | null } | null
  readonly filter: string
  readonly deadLetterPolicy: { readonly deadLetterTopic: string; readonly maxDeliveryAttempts: number } | null
  readonly retryPolicy: { readonly minimumBackoff: Duration | null; readonly maximumBackoff: Duration | null } | null
}

/** What the topic of a subscription is called when it was deleted. */
export const DELETED_TOPIC = '_deleted-topic_'

const WEEK_S = 7 * 86_400
const MONTH_S = 31 * 86_400
const ACK_DEADLINE_S = { byDefault: 10, min: 10, max: 600 }
const ATTEMPTS = { byDefault: 5, min: 5, max: 100 }
const BACKOFF_MS = { min: 10_000, max: 600_000 }
/** Without a retry policy a message comes again at once, but pushes slow down. */
const PUSH_BACKOFF_MS = { min: 100, max: 60_000 }
/** Messages of one ordering key that a stream is handed together. A push takes one at a time. */
const LANE_BATCH = 100

const NAME = /^projects\/([^/]+)\/(topics|subscriptions)\/([A-Za-z][\w.~+%-]{2,254})$/

/** Throws INVALID_ARGUMENT. */
export function checkName(name: string, kind: 'topics' | 'subscriptions'): void {
  const match = NAME.exec(name)
  if (match === null || match[2] !== kind || match[3]!.startsWith('goog')) throw invalid(`Invalid resource name given (name=${name}).`)
}

type Fields = Readonly<Record<string, unknown>>

export function newTopic(given: Fields): Topic {
  const name = String(given['name'])
  checkName(name, 'topics')
  for (const field of ['schemaSettings', 'ingestionDataSourceSettings', 'kmsKeyName']) if (given[field]) throw unimplemented(field)
  const retention = given['messageRetentionDuration'] as Duration | null
  if (retention) checkRange('messageRetentionDuration', retention.seconds, 600, MONTH_S)
  return { name, labels: given['labels'] as Topic['labels'], messageRetentionDuration: retention }
}

export function changedTopic(before: Topic, given: Fields, paths: readonly string[]): Topic {
  const changed: Record<string, unknown> = { ...before }
  for (const field of fieldsOf(paths, ['labels', 'messageRetentionDuration'])) changed[field] = given[field]
  return newTopic(changed)
}

const CHANGEABLE = ['pushConfig', 'ackDeadlineSeconds', 'retainAckedMessages', 'messageRetentionDuration', 'labels', 'expirationPolicy', 'deadLetterPolicy', 'retryPolicy']

/** Throws INVALID_ARGUMENT, and UNIMPLEMENTED for kinds of subscriptions that are none of the emulator's. */
export function newSubscription(given: Fields): Subscription {
  const name = String(given['name'])
  checkName(name, 'subscriptions')
  for (const field of ['bigqueryConfig', 'cloudStorageConfig', 'bigtableConfig', 'enableExactlyOnceDelivery', 'detached']) if (given[field]) throw unimplemented(field)
  const ackDeadlineSeconds = Number(given['ackDeadlineSeconds']) || ACK_DEADLINE_S.byDefault
  checkRange('ackDeadlineSeconds', ackDeadlineSeconds, ACK_DEADLINE_S.min, ACK_DEADLINE_S.max)
  const retention = (given['messageRetentionDuration'] as Duration | null) ?? { seconds: WEEK_S, nanos: 0 }
  checkRange('messageRetentionDuration', retention.seconds, 600, MONTH_S)
  const filter = String(given['filter'] ?? '')
  filterOf({ filter })
  const retryPolicy = (given['retryPolicy'] as Subscription['retryPolicy']) ?? null
  if (retryPolicy) for (const limit of [retryPolicy.minimumBackoff, retryPolicy.maximumBackoff]) if (limit) checkRange('retryPolicy', limit.seconds, 0, BACKOFF_MS.max / 1000)
  return {
    name,
    topic: String(given['topic']),
    pushConfig: pushConfigOf(given['pushConfig'] as Fields | null),
    ackDeadlineSeconds,
    retainAckedMessages: given['retainAckedMessages'] === true,
    messageRetentionDuration: retention,
    labels: (given['labels'] as Subscription['labels']) ?? {},
    enableMessageOrdering: given['enableMessageOrdering'] === true,
    expirationPolicy: (given['expirationPolicy'] as Subscription['expirationPolicy']) ?? null,
    filter,
    deadLetterPolicy: deadLetterOf(given['deadLetterPolicy'] as Fields | null),
    retryPolicy,
  }
}

export function changedSubscription(before: Subscription, given: Fields, paths: readonly string[]): Subscription {
  const changed: Record<string, unknown> = { ...before }
  for (const field of fieldsOf(paths, CHANGEABLE)) changed[field] = given[field]
  return newSubscription(changed)
}

/** Names of a field mask, of whole fields only. */
function fieldsOf(paths: readonly string[], allowed: readonly string[]): string[] {
  if (paths.length === 0) throw invalid('The update_mask in the request must be set, and must contain a non-empty paths list.')
  return paths.map((path) => {
    const field = path.split('.')[0]!.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    if (!allowed.includes(field)) throw invalid(`Invalid update_mask provided in the request: the '${path}' field is not known or cannot be changed.`)
    return field
  })
}

function pushConfigOf(given: Fields | null | undefined): Subscription['pushConfig'] {
  const pushEndpoint = String(given?.['pushEndpoint'] ?? '')
  if (!given || pushEndpoint === '') return null
  if (given['noWrapper']) throw unimplemented('noWrapper')
  if (!URL.canParse(pushEndpoint) || !/^https?:/.test(pushEndpoint)) throw invalid('Invalid push endpoint given.')
  return { pushEndpoint, attributes: (given['attributes'] as Record<string, string>) ?? {}, oidcToken: (given['oidcToken'] as object | null) ?? null }
}

function deadLetterOf(given: Fields | null | undefined): Subscription['deadLetterPolicy'] {
  if (!given) return null
  const deadLetterTopic = String(given['deadLetterTopic'])
  checkName(deadLetterTopic, 'topics')
  const maxDeliveryAttempts = Number(given['maxDeliveryAttempts']) || ATTEMPTS.byDefault
  checkRange('maxDeliveryAttempts', maxDeliveryAttempts, ATTEMPTS.min, ATTEMPTS.max)
  return { deadLetterTopic, maxDeliveryAttempts }
}

function checkRange(field: string, value: number, min: number, max: number): void {
  if (!(value >= min && value <= max)) throw invalid(`Invalid ${field} given: ${value} is not from ${min} to ${max}.`)
}

export function filterOf({ filter }: Pick<Subscription, 'filter'>): Filter {
  try {
    return parseFilter(filter)
  } catch (error) {
    if (error instanceof FilterError) throw invalid(`Invalid filter: ${error.message}.`)
    throw error
  }
}

export function rulesOf(subscription: Subscription): BacklogRules {
  const { retryPolicy, pushConfig, deadLetterPolicy } = subscription
  const backoff = retryPolicy
    ? { min: durationMs(retryPolicy.minimumBackoff) ?? BACKOFF_MS.min, max: durationMs(retryPolicy.maximumBackoff) ?? BACKOFF_MS.max }
    : pushConfig
      ? PUSH_BACKOFF_MS
      : { min: 0, max: 0 }
  return {
    ordered: subscription.enableMessageOrdering,
    laneBatch: pushConfig ? 1 : LANE_BATCH,
    backoffMinMs: backoff.min,
    backoffMaxMs: backoff.max,
    maxAttempts: deadLetterPolicy?.maxDeliveryAttempts,
  }
}

export const durationMs = (duration: Duration | null): number | undefined => (duration === null ? undefined : duration.seconds * 1000 + duration.nanos / 1e6)
