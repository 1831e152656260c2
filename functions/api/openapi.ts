/** The OpenAPI 3.1 document, made from the table of routes, the schemas that validate, and the error table. */
import { problemType, problems } from '#shared/errors.ts'
import type { ProblemName } from '#shared/errors.ts'
import type { Content, Method, Operation, Route } from './routes.ts'

export function openApiDocument(routes: Iterable<Route>, serverUrl: string | undefined): object {
  const paths: { [template: string]: object } = {}
  for (const route of routes) {
    const parameters = [...route.template.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
    const item: { [key: string]: unknown } = parameters.length === 0 ? {} : { parameters }
    for (const [method, operation] of Object.entries(route.operations) as [Method, Operation][]) item[method.toLowerCase()] = described(route, method, operation)
    paths[route.template] = item
  }
  return {
    openapi: '3.1.0',
    info: { title: 'State platform', version: '1', description: 'Durable, ordered, live JSON states' },
    ...(serverUrl === undefined ? {} : { servers: [{ url: serverUrl }] }),
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'The token of POST /v1/sessions' } },
      schemas: { Problem: PROBLEM },
    },
  }
}

const PROBLEM = {
  type: 'object',
  description: 'RFC 9457, with members of its own by type',
  required: ['type', 'title', 'status'],
  properties: {
    type: { type: 'string', enum: (Object.keys(problems) as ProblemName[]).map(problemType) },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    expected: { type: 'integer', description: 'replay: the next index' },
    ii: { type: 'integer', description: 'out-of-sync: the current index' },
    limit: { type: 'integer', description: 'too-large: bytes' },
    op: { type: 'integer', description: 'unprocessable: index of the operation' },
    reason: { type: 'string', description: 'unprocessable: why it does not apply' },
    sqlstate: { type: 'string', description: 'query-failed: what Postgres calls it' },
    faults: { type: 'array', items: { type: 'object' }, description: 'invalid-config: line, column, path and message of each' },
    stored: { type: 'boolean', description: 'unavailable: false where it is certain that nothing was stored, true where only the tables are behind' },
  },
}

function described(route: Route, method: Method, operation: Operation): object {
  return {
    operationId: `${method.toLowerCase()} ${route.template}`.replaceAll(/[^A-Za-z0-9]+(\w)/g, (_, letter: string) => letter.toUpperCase()).replaceAll(/\W/g, ''),
    summary: operation.summary,
    security: operation.access === 'session' ? [{ bearer: [] }] : [],
    parameters: [...queryParameters(operation), ...(operation.headers ?? []).map((name) => ({ name, in: 'header', required: false, schema: { type: 'string' } }))],
    ...(operation.body === undefined ? {} : { requestBody: { required: true, content: contentOf(operation.body) } }),
    responses: { ...successes(operation), ...refusals(operation) },
  }
}

function queryParameters(operation: Operation): object[] {
  return Object.entries(operation.query?.properties ?? {}).map(([name, schema]) => ({ name, in: 'query', required: false, schema }))
}

function successes(operation: Operation): { [status: string]: object } {
  const responses: { [status: string]: object } = {}
  for (const [status, content] of Object.entries(operation.success)) {
    const isEmpty = Object.keys(content).length === 0
    responses[status] = { description: status === '304' ? 'Not modified' : operation.summary, ...(isEmpty ? {} : { content: contentOf(content) }) }
  }
  return responses
}

/** Problems by status: several of one status are told apart by their type. */
function refusals(operation: Operation): { [status: string]: object } {
  const byStatus = new Map<number, ProblemName[]>()
  for (const name of new Set<ProblemName>([...operation.problems, 'internal'])) {
    const { status } = problems[name]
    byStatus.set(status, [...(byStatus.get(status) ?? []), name])
  }
  const responses: { [status: string]: object } = {}
  for (const [status, names] of byStatus) {
    responses[status] = {
      description: names.map((name) => `${problemType(name)}: ${problems[name].title}`).join('; '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    }
  }
  return responses
}

function contentOf(content: Content): object {
  return Object.fromEntries(Object.entries(content).map(([mediaType, schema]) => [mediaType, schema === undefined ? {} : { schema }]))
}
