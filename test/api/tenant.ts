/** A domain of its own for a test, as its admin has it: claimed, configured, asked. */
import { expect } from '@jest/globals'
import { Client } from './client.ts'
import type { Answer, Body, Headings } from './client.ts'
import type { TestServer } from './fixture.ts'

export class Tenant {
  readonly domain: string
  readonly admin: Client
  readonly #server: TestServer

  private constructor(server: TestServer, admin: Client) {
    this.#server = server
    this.admin = admin
    this.domain = admin.domain
  }

  /** `label`: of a domain that nobody has claimed yet. */
  static async claim(server: TestServer, label: string): Promise<Tenant> {
    const admin = await Client.open(server, { domain: `${label}.localhost` })
    const answer = await claim(admin, admin.domain)
    expect(answer.status).toBe(200)
    return new Tenant(server, admin)
  }

  static async configured(server: TestServer, label: string, yaml: string): Promise<Tenant> {
    const tenant = await Tenant.claim(server, label)
    await tenant.configure(yaml)
    return tenant
  }

  user(): Promise<Client> {
    return Client.open(this.#server, { domain: this.domain })
  }

  /** Resolves with the report of a configuration that has come into force. */
  async configure(yaml: string): Promise<Body> {
    const report = await this.tryToConfigure(yaml)
    expect(report).not.toHaveProperty('error')
    return report
  }

  /** Resolves with the report when it has ended. */
  async tryToConfigure(yaml: string): Promise<Body> {
    const answer = await this.put(yaml)
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 202, body: { report: expect.any(String) } })
    return ended(this.admin, answer.body.report)
  }

  put(yaml: string, headers: Headings = {}): Promise<Answer> {
    return putConfig(this.admin, this.domain, yaml, headers)
  }
}

export function claim(client: Client, domain: string, headers: Headings = {}): Promise<Answer> {
  return client.call('POST', `/v1/domains/${encodeURIComponent(domain)}/claim`, { headers })
}

export function putConfig(client: Client, domain: string, yaml: string, headers: Headings = {}): Promise<Answer> {
  return client.call('PUT', `/v1/domains/${encodeURIComponent(domain)}/config`, { raw: yaml, headers: { 'Content-Type': 'application/yaml', ...headers } })
}

export function getConfig(client: Client, domain: string): Promise<Answer> {
  return client.call('GET', `/v1/domains/${encodeURIComponent(domain)}/config`)
}

/** The report's `active`, when it has the member `end`, which the last word on a configuration sets. */
export function ended(client: Client, report: string): Promise<Body> {
  return reported(client, report, (active) => active.end !== undefined)
}

/** The report's `active`, once it is as awaited. */
export async function reported(client: Client, report: string, isIt: (active: Body) => boolean, deadlineMs = 20_000): Promise<Body> {
  const stream = await client.follow(report)
  try {
    for (;;) {
      if ((await stream.nextOrEnd(deadlineMs)) === undefined) throw new Error('the stream of a report has ended')
      const { active } = (await client.get(report)).body
      if (isIt(active)) return active
    }
  } finally {
    stream.close()
  }
}

/** `id` of a state of this type, all in one patch. */
export function write(client: Client, id: string, type: string, active: object, headers: Headings = {}): Promise<Answer> {
  const patch = [
    { op: 'add', path: ['active_type'], value: type },
    { op: 'add', path: ['active'], value: active },
  ]
  return client.patch(id, patch, {}, headers)
}

export function query(client: Client, name: string, params: readonly unknown[] = [], domain?: string): Promise<Answer> {
  return client.call('POST', `/v1/queries/${encodeURIComponent(name)}`, { body: { params, ...(domain === undefined ? {} : { domain }) } })
}

/** Rows of a query that must succeed. */
export async function rows(client: Client, name: string, params: readonly unknown[] = [], domain?: string): Promise<Body[]> {
  const answer = await query(client, name, params, domain)
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 })
  return answer.body.rows
}
