/** domains.md, "Authorization": who may read and write what is not their own. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { randomUUID } from 'node:crypto'
import { Client, EventReader } from './client.ts'
import type { Answer } from './client.ts'
import { shareServer } from './fixture.ts'
import type { TestServer } from './fixture.ts'
import { Tenant, query, rows, write } from './tenant.ts'

/** Readers are whom a state of the type `grant` names; what is asked is what it is called with. */
const GRANTS = `
authorize:
  sameDomain: { postgres: is_granted }
  crossDomain: { postgres: is_granted_abroad }
postgres:
  tables:
    grants: { type: application/json;type=grant, columns: { domain: TEXT, reader: TEXT, scope: TEXT } }
  functions:
    is_granted:
      language: PLpgSQL
      returns: BOOLEAN
      arguments: [{ name: who, type: TEXT }, { name: what, type: TEXT }]
      body: BEGIN RETURN EXISTS (SELECT FROM grants g WHERE g.domain IS NULL AND g.reader = who AND g.scope = what); END
    is_granted_abroad:
      language: PLpgSQL
      returns: BOOLEAN
      arguments: [{ name: whence, type: TEXT }, { name: who, type: TEXT }, { name: what, type: TEXT }]
      body: BEGIN RETURN EXISTS (SELECT FROM grants g WHERE g.domain = whence AND g.reader = who AND g.scope = what); END
`
const WRITE = (rule: string): string => `authorize: { sameDomain: deny, write: { sameDomain: ${rule} } }\n`

let server: TestServer
let stranger: Client
beforeAll(async () => {
  server = await shareServer()
  stranger = await Client.open(server)
})
afterAll(() => server.stop())

/** Every way to see something of a state, and what it answers. */
async function ways(client: Client, id: string): Promise<{ readonly [way: string]: number }> {
  const statusOf = async (answer: Promise<Answer>): Promise<number> => (await answer).status
  const codeOf = async (type: string, active: object): Promise<number> => {
    const { body } = await write(client, randomUUID(), `application/json;type=${type}`, active)
    return body.error?.code ?? 200
  }
  const stream = async (): Promise<number> => {
    try {
      const opened = await client.follow(id)
      const { event } = await opened.next()
      opened.close()
      return event === 'state' ? 200 : 0
    } catch (error) {
      return Number(/\d+$/.exec((error as Error).message)?.[0])
    }
  }
  const address = await client.call('POST', '/v1/streams', { body: { scope: id } })
  return {
    read: await statusOf(client.get(id)),
    tracked: await statusOf(client.get(id, '?read=tracked')),
    past: await statusOf(client.get(id, '?ii=1')),
    history: await statusOf(client.call('GET', `/v1/states/${id}/history`)),
    stream: await stream(),
    address: address.status === 201 ? 200 : address.status,
    download: await client.call('GET', `/v1/downloads/${id}`, { headers: { Accept: 'application/json' } }).then(({ status }) => status),
    subscription: await codeOf('subscription', { scope: id }),
    downloadByPatch: await codeOf('download', { id }),
  }
}

const all = (code: number, of: object): { readonly [way: string]: number } => Object.fromEntries(Object.keys(of).map((way) => [way, code]))

async function uploaded(owner: Client): Promise<string> {
  const { body } = await owner.call('POST', '/v1/uploads', { body: { type: 'text/plain' } })
  expect((await fetch(body.url, { method: 'PUT', headers: body.headers, body: 'x' })).ok).toBe(true)
  return body.id
}

describe('reading', () => {
  test('a function of the domain says, by every way, for every state by itself; and takes back what it has said', async () => {
    const tenant = await Tenant.configured(server, 'granting', GRANTS)
    const [owner, reader] = await Promise.all([tenant.user(), tenant.user()])
    const id = await uploaded(owner)
    const other = randomUUID()
    await owner.set(other, 'x', 1)
    const refused = await ways(reader, id)
    expect(refused).toEqual(all(403, refused))
    const grant = randomUUID()
    await write(owner, grant, 'application/json;type=grant', { reader: reader.user, scope: id })
    const allowed = await ways(reader, id)
    expect(allowed).toEqual(all(200, allowed))
    expect((await reader.get(other)).status).toBe(403)
    expect((await stranger.get(id)).status).toBe(403)
    await owner.patch(grant, [{ op: 'remove', path: ['active'] }])
    expect((await reader.get(id)).status).toBe(403)
    // Reading gives no right to write.
    await write(owner, grant, 'application/json;type=grant', { reader: reader.user, scope: id })
    expect((await reader.set(id, 'x', 1)).status).toBe(403)
  })

  test('from another domain: the function of the domain whose state it is, called with domain, user and scope', async () => {
    const tenant = await Tenant.configured(server, 'granting-abroad', GRANTS)
    const id = await uploaded(tenant.admin)
    const refused = await ways(stranger, id)
    expect(refused).toEqual(all(403, refused))
    await write(tenant.admin, randomUUID(), 'application/json;type=grant', { domain: stranger.domain, reader: stranger.user, scope: id })
    const allowed = await ways(stranger, id)
    expect(allowed).toEqual(all(200, allowed))
    // The same user in the same domain is judged by the other function.
    const token = await server.tokenOf('eve')
    const [here, abroad] = await Promise.all([Client.open(server, { token, domain: tenant.domain }), Client.open(server, { token })])
    expect(abroad.user).toBe(here.user)
    await write(tenant.admin, randomUUID(), 'application/json;type=grant', { domain: abroad.domain, reader: abroad.user, scope: id })
    expect((await abroad.get(id)).status).toBe(200)
    expect((await here.get(id)).status).toBe(403)
  })

  test('allow and deny; nothing configured is deny', async () => {
    const tenant = await Tenant.claim(server, 'ruled')
    const [owner, user] = await Promise.all([tenant.user(), tenant.user()])
    const id = randomUUID()
    await owner.set(id, 'x', 1)
    for (const [yaml, same, cross] of [
      ['{}', 403, 403],
      ['authorize: { sameDomain: allow, crossDomain: deny }', 200, 403],
      ['authorize: { crossDomain: allow }', 403, 200],
    ] as const) {
      await tenant.configure(yaml)
      expect([yaml, (await user.get(id)).status, (await stranger.get(id)).status]).toEqual([yaml, same, cross])
      expect((await owner.get(id)).status).toBe(200)
    }
  })

  test.each([
    ['raises', "BEGIN RAISE EXCEPTION 'the secret of the tenant'; END"],
    ['says NULL', 'BEGIN RETURN NULL; END'],
    ['says false', 'BEGIN RETURN false; END'],
    ['writes', 'BEGIN DELETE FROM metadata; RETURN true; END'],
    ['is left out', 'BEGIN ... END;'],
  ])('a function that %s denies, and its words do not come out', async (name, body) => {
    const yaml = `
authorize: { sameDomain: { postgres: f }, write: { sameDomain: { postgres: f } } }
postgres: { functions: { f: { language: PLpgSQL, returns: BOOLEAN, arguments: [{ name: who, type: TEXT }], body: "${body}" } } }
`
    const tenant = await Tenant.configured(server, `denying-${name.replaceAll(' ', '-').toLowerCase()}`, yaml)
    const user = await tenant.user()
    const id = randomUUID()
    await tenant.admin.set(id, 'x', 1)
    for (const answer of [await user.get(id), await user.set(id, 'x', 2)]) {
      expect(answer.status).toBe(403)
      expect(answer.text).not.toContain('secret')
    }
  })

  test("others' names: the rules say; what is not allowed tells not whether the name is there", async () => {
    const tenant = await Tenant.configured(server, 'names', GRANTS)
    const [owner, reader] = await Promise.all([tenant.user(), tenant.user()])
    const { id } = (await owner.set('diary', 'x', 1)).body
    const whose = `?user=${owner.user}`
    const refusals = await Promise.all([reader.get('diary', whose), reader.get('nothing', whose), stranger.get('diary', `${whose}&domain=${tenant.domain}`), stranger.get('nothing', `${whose}&domain=${tenant.domain}`)])
    expect(new Set(refusals.map(({ status, body }) => JSON.stringify([status, body.type, body.detail])))).toEqual(new Set([JSON.stringify([403, 'urn:problem:forbidden', 'this state is not for you'])]))
    await write(owner, randomUUID(), 'application/json;type=grant', { reader: reader.user, scope: id })
    expect((await reader.get('diary', whose)).body).toMatchObject({ id, name: 'diary', active: { x: 1 } })
    expect((await reader.get('nothing', whose)).status).toBe(403)
    // Their own of the same name is another state.
    expect((await reader.get('diary')).body).toMatchObject({ ii: 0 })
  })
})

describe('writing', () => {
  test('nobody but the owner without a rule, whatever they may read', async () => {
    const tenant = await Tenant.configured(server, 'reading-only', 'authorize: { sameDomain: allow, crossDomain: allow }')
    const id = randomUUID()
    await tenant.admin.set(id, 'x', 1)
    for (const who of [await tenant.user(), stranger]) expect((await who.set(id, 'x', 2)).status).toBe(403)
    expect((await tenant.admin.get(id)).body).toMatchObject({ ii: 1, active: { x: 1 } })
  })

  test('by a rule others write `active`, by UUID and by name; `name` and `active_type` stay the owner\'s', async () => {
    const yaml = `
authorize: { sameDomain: deny, write: { sameDomain: { postgres: may_write } } }
postgres:
  tables: { shared: { type: application/json;type=shared, columns: { text: TEXT, writers: "TEXT[]" } } }
  queries: { shared: SELECT text FROM shared }
  functions:
    may_write:
      { language: SQL, returns: BOOLEAN, arguments: [{ name: who, type: TEXT }, { name: what, type: TEXT }], body: SELECT who = ANY (writers) FROM shared WHERE id = what }
`
    const tenant = await Tenant.configured(server, 'shared', yaml)
    const [owner, writer, other] = await Promise.all([tenant.user(), tenant.user(), tenant.user()])
    const { id } = (await owner.set('page', 'text', 'a')).body
    await write(owner, id, 'application/json;type=shared', { text: 'a', writers: [writer.user] })
    const key = { 'Idempotency-Key': randomUUID() }
    const text = (value: string): object[] => [{ op: 'replace', path: ['active', 'text'], value }]
    const first = await writer.patch(id, text('b'), {}, key)
    expect(first).toMatchObject({ status: 200, body: { id, ii: 3 } })
    // In the tables of the state's domain before the acknowledgement.
    expect(await rows(owner, 'shared')).toEqual([{ text: 'b' }])
    expect((await writer.patch(id, text('b'), {}, key)).body).toMatchObject({ ii: 3, replayed: true })
    expect(await writer.call('PATCH', `/v1/states/page?user=${owner.user}`, { body: { patch: text('c') } })).toMatchObject({ status: 200, body: { id, ii: 4 } })
    for (const patch of [
      [{ op: 'add', path: ['name'], value: 'mine' }],
      [{ op: 'add', path: ['active_type'], value: 'x' }],
      [...text('d'), { op: 'add', path: ['active_type'], value: 'x' }],
      [{ op: 'move', from: ['active', 'text'], path: ['name'] }],
      [{ op: 'move', from: ['name'], path: ['active', 'text'] }],
      [{ op: 'remove', path: ['name'] }],
    ]) {
      expect((await writer.patch(id, patch)).status).toBe(403)
    }
    for (const who of [other, stranger]) expect((await who.patch(id, text('e'))).status).toBe(403)
    const nowhere = await Promise.all(['page', 'nothing'].map((name) => other.call('PATCH', `/v1/states/${name}?user=${owner.user}`, { body: { patch: text('e') } })))
    expect(new Set(nowhere.map(({ status, body }) => JSON.stringify([status, body.detail])))).toHaveProperty('size', 1)
    expect((await writer.call('PATCH', `/v1/states/nothing?user=${owner.user}`, { body: { patch: text('e') } })).status).toBe(403)
    // Who may write may not read by it.
    expect((await writer.get(id)).status).toBe(403)
    expect((await writer.patch(id, text('f'), { return: 'state' })).status).toBe(403)
    expect((await owner.get(id)).body).toMatchObject({ ii: 4, owner: owner.user, name: 'page', active_type: 'application/json;type=shared', active: { text: 'c' } })
    // A UUID that nobody has written is whose first patch it is: there is no rule about it.
    expect((await other.set(randomUUID(), 'x', 1)).body).toMatchObject({ ii: 1 })
  })

  test('allow, for users of other domains too; of the platform\'s own states never', async () => {
    const tenant = await Tenant.configured(server, 'open', 'authorize: { sameDomain: allow, crossDomain: allow, write: { crossDomain: allow, sameDomain: allow } }')
    const id = randomUUID()
    await tenant.admin.set(id, 'x', 1)
    const patch = [{ op: 'add', path: ['active', 'y'], value: 2 }]
    expect(await stranger.patch(id, patch, { return: 'state' })).toMatchObject({ status: 200, body: { ii: 2, state: { owner: tenant.admin.user, domain: tenant.domain, active: { x: 1, y: 2 } } } })
    expect((await (await tenant.user()).patch(id, patch)).status).toBe(200)
    expect((await stranger.patch(tenant.admin.session, patch)).status).toBe(403)
    expect((await tenant.admin.call('GET', `/v1/states/${id}/history`)).text.trim().split('\n').map((line) => JSON.parse(line).user)).toContain(stranger.user)
  })

  test('a rule that is taken away is taken away at once', async () => {
    const tenant = await Tenant.configured(server, 'taken-away', WRITE('allow'))
    const user = await tenant.user()
    const id = randomUUID()
    await tenant.admin.set(id, 'x', 1)
    expect((await user.set(id, 'x', 2)).status).toBe(200)
    await tenant.configure(WRITE('deny'))
    expect((await user.set(id, 'x', 3)).status).toBe(403)
  })
})

describe('following', () => {
  test('a stream is cut when a reconfiguration takes the right away; the owner\'s goes on', async () => {
    const tenant = await Tenant.configured(server, 'cut', 'authorize: { sameDomain: allow }')
    const user = await tenant.user()
    const id = randomUUID()
    await tenant.admin.set(id, 'x', 1)
    const address = (await user.call('POST', '/v1/streams', { body: { scope: id } })).body.url
    const streams = [await user.follow(id), await EventReader.open(address, {})]
    const own = await tenant.admin.follow(id)
    await Promise.all([...streams, own].map((stream) => stream.next()))
    // One that leaves the right leaves the stream.
    await tenant.configure('authorize: { sameDomain: allow, crossDomain: deny }')
    await tenant.admin.set(id, 'x', 2)
    for (const stream of streams) expect(await stream.next()).toMatchObject({ event: 'patch', id: '2' })
    await tenant.configure('authorize: { sameDomain: deny }')
    await tenant.admin.set(id, 'x', 3)
    for (const stream of streams) expect(await stream.nextOrEnd()).toBeUndefined()
    expect(await own.next()).toMatchObject({ id: '2' })
    expect(await own.next()).toMatchObject({ id: '3' })
    own.close()
    await expect(EventReader.open(address, {})).rejects.toThrow('403')
  })

  test('who follows a UUID that nobody has written is not handed what its later owner writes, unless they may', async () => {
    const tenant = await Tenant.configured(server, 'unwritten', 'authorize: { sameDomain: allow }')
    const token = await server.tokenOf('fay')
    const owner = await Client.open(server, { token, domain: tenant.domain })
    // The same user in another domain is somebody else.
    const abroad = await Client.open(server, { token })
    const id = randomUUID()
    const streams = await Promise.all([stranger, abroad].map((who) => who.follow(id)))
    const [own, friend] = await Promise.all([owner.follow(id), (await tenant.user()).follow(id)])
    for (const stream of [...streams, own!, friend!]) expect(await stream.next()).toMatchObject({ event: 'state', id: '0' })
    await owner.set(id, 'x', 'private')
    for (const stream of streams) expect(await stream.nextOrEnd()).toBeUndefined()
    expect(await own!.next()).toMatchObject({ event: 'patch', id: '1' })
    // Whoever may is handed it, now or when they come back.
    const next = await friend!.nextOrEnd()
    if (next === undefined) {
      const again = await (await tenant.user()).follow(id)
      expect(await again.next()).toMatchObject({ data: { active: { x: 'private' } } })
      again.close()
    } else expect(next).toMatchObject({ event: 'patch', id: '1' })
    own!.close()
    friend!.close()
  })

  test('of many followers who come while it is first written, none is handed what is not theirs', async () => {
    const tenant = await Tenant.configured(server, 'raced-unwritten', '{}')
    const seen = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const id = randomUUID()
        const opening = [0, 1, 2].map(() => stranger.follow(id).catch(() => undefined))
        await tenant.admin.set(id, 'x', 'private')
        const streams = (await Promise.all(opening)).filter((stream) => stream !== undefined)
        const events: unknown[] = []
        for (const stream of streams) {
          for (let event = await stream.nextOrEnd(); event !== undefined; event = await stream.nextOrEnd()) events.push(event)
        }
        return events
      }),
    )
    expect(JSON.stringify(seen)).not.toContain('private')
  })
})

test('queries are the caller\'s domain\'s: authorization of states does not open them', async () => {
  const tenant = await Tenant.configured(server, 'open-states', 'authorize: { crossDomain: allow }\npostgres: { queries: { all: SELECT id FROM metadata } }')
  expect((await query(stranger, 'all', [], tenant.domain)).status).toBe(404)
})
