/** The HTTP API, as RabbitMQ 3.10 answers the same requests. */
import { client } from '@xmpp/client';
import { connect } from 'amqplib';
import { connectAsync as connectMqtt } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { type ApiAnswer, type Ask, apiOf, apiOfGateway } from '../../support/api-client.ts';
import { startGateway } from '../../support/gateway.ts';
import { connect as connectRaw } from '../../support/raw-client.ts';

const ALL = { configure: '.*', write: '.*', read: '.*' };

let gateway: Gateway;
let ask: Ask;

beforeAll(async () => {
  gateway = await startGateway();
  ask = apiOfGateway(gateway);
});
afterAll(() => gateway.stop());

const as = (user: string, password: string = 'pw'): Ask =>
  apiOf(gateway.port('http'), user, password);

async function statusOf(asking: Promise<ApiAnswer>): Promise<number> {
  return (await asking).status;
}

describe('a login', () => {
  it.each([
    [undefined, ''],
    ['guest', 'wrong'],
    ['nobody', 'x'],
  ])('of %s with password %o is refused', async (user, password) => {
    const url = `http://127.0.0.1:${gateway.port('http')}/api/overview`;
    const login = Buffer.from(`${user}:${password}`).toString('base64');
    const headers = user === undefined ? {} : { authorization: `Basic ${login}` };
    const response = await fetch(url, { headers });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain('Basic');
  });

  it('comes before a body is read', async () => {
    const client = await connectRaw(gateway.port('http'));
    client.send('POST /api/definitions HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n');
    await client.readText('HTTP/1.1 401');
    client.destroy();
  });

  it('that a browser sends for a page of another site is refused', async () => {
    const url = `http://127.0.0.1:${gateway.port('http')}/api/definitions`;
    const login = `Basic ${Buffer.from('guest:guest').toString('base64')}`;
    const post = async (origin: string): Promise<number> => {
      const headers = { authorization: login, origin, 'content-type': 'text/plain' };
      return (await fetch(url, { method: 'POST', headers, body: '{}' })).status;
    };
    expect(await post('https://evil.example')).toBe(403);
    expect(await post(`http://127.0.0.1:${gateway.port('http')}`)).toBe(204);
  });

  it('says who asks', async () => {
    expect(await ask('GET', '/whoami')).toMatchObject({
      status: 200,
      body: { name: 'guest', tags: ['administrator'] },
    });
  });
});

describe('what a user may ask is a matter of tags', () => {
  beforeAll(async () => {
    await ask('PUT', '/vhosts/tags', {});
    for (const tags of ['', 'management', 'policymaker', 'monitoring']) {
      const name = `t-${tags}`;
      await ask('PUT', `/users/${name}`, { password: 'pw', tags });
    }
    await ask('PUT', '/permissions/tags/t-policymaker', ALL);
  });

  it.each([
    ['', '/whoami', 401, 'Not management user'],
    ['management', '/whoami', 200, null],
    ['management', '/nodes', 401, 'Not monitor user'],
    ['management', '/users', 401, 'Not administrator user'],
    ['management', '/queues/tags', 401, 'User not authorised to access virtual host'],
    ['policymaker', '/queues/tags', 200, null],
    ['monitoring', '/nodes', 200, null],
    ['monitoring', '/definitions', 401, 'Not administrator user'],
  ])('%s: GET %s is %i', async (tags, path, status, reason) => {
    const answer = await as(`t-${tags}`)('GET', path);
    expect(answer.status).toBe(status);
    if (reason !== null) expect(answer.body).toEqual({ error: 'not_authorised', reason });
  });

  it('and of permissions: lists show the vhosts that one may use', async () => {
    const names = async (tags: string): Promise<unknown[]> => {
      const { body } = await as(`t-${tags}`)('GET', '/vhosts?columns=name');
      return (body as { name: string }[]).map(({ name }) => name);
    };
    expect(await names('management')).toEqual([]);
    expect(await names('policymaker')).toEqual(['tags']);
    expect(await names('monitoring')).toEqual(expect.arrayContaining(['/', 'tags']));
  });

  it('and a policymaker sets policies, but declares nothing without permission', async () => {
    const policy = { pattern: '^q', definition: { 'max-length': 1 } };
    expect(await statusOf(as('t-policymaker')('PUT', '/policies/tags/p', policy))).toBe(201);
    expect(await statusOf(as('t-management')('PUT', '/policies/tags/p', policy))).toBe(401);
    expect(await statusOf(as('t-policymaker')('PUT', '/operator-policies/tags/p', policy))).toBe(
      401,
    );
    await ask('PUT', '/permissions/tags/t-policymaker', { ...ALL, configure: '^own$' });
    expect(await statusOf(as('t-policymaker')('PUT', '/queues/tags/q', {}))).toBe(401);
    expect(await statusOf(as('t-policymaker')('PUT', '/queues/tags/own', {}))).toBe(201);
  });
});

describe('vhosts', () => {
  it('are made, changed and deleted, and whoever makes one may use it', async () => {
    const path = '/vhosts/made%2Fhere';
    expect(await statusOf(ask('PUT', path, { description: 'd', tags: 'a,b' }))).toBe(201);
    expect((await ask('GET', path)).body).toMatchObject({
      name: 'made/here',
      description: 'd',
      tags: ['a', 'b'],
      metadata: { description: 'd', tags: ['a', 'b'] },
      cluster_state: { 'rosettamq@localhost': 'running' },
    });
    expect(await statusOf(ask('PUT', path, ''))).toBe(204);
    expect((await ask('GET', `${path}/permissions`)).body).toEqual([
      { user: 'guest', vhost: 'made/here', ...ALL },
    ]);
    expect(await statusOf(ask('PUT', '/queues/made%2Fhere/q', {}))).toBe(201);
    expect(await statusOf(ask('DELETE', path))).toBe(204);
    expect(await ask('GET', path)).toMatchObject({
      status: 404,
      body: { error: 'Object Not Found', reason: 'Not Found' },
    });
    expect((await ask('GET', '/queues/made%2Fhere')).body).toEqual({
      error: 'not_found',
      reason: 'vhost_not_found',
    });
  });

  it('of the configuration stay', async () => {
    const { status, body } = await ask('DELETE', '/vhosts/%2F');
    expect(status).toBe(400);
    expect(body).toMatchObject({ reason: expect.stringContaining('configuration file') });
  });

  it('end the connections of their clients when they are deleted', async () => {
    await ask('PUT', '/vhosts/busy', {});
    const port = gateway.port('amqp');
    const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}/busy`, {
      noDelay: true,
    });
    const said = new Promise<string>((resolve) => {
      // amqplib takes this code for no error.
      connection.once('close', (error?: Error) => resolve(error?.message ?? ''));
    });
    const mqtt = await connectMqtt(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
      ...{ username: 'busy:guest', password: 'guest', protocolVersion: 5, reconnectPeriod: 0 },
    });
    const left = new Promise<void>((resolve) => mqtt.once('close', () => resolve()));
    await mqtt.subscribeAsync('a/b', { qos: 1 });
    await ask('DELETE', '/vhosts/busy');
    expect(await said).toContain("CONNECTION_FORCED - vhost 'busy' was deleted");
    await left;
  });

  it('leave nothing of MQTT sessions to the next of their name', async () => {
    const join = (clean: boolean) =>
      connectMqtt(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
        ...{ username: 'again:guest', password: 'guest', protocolVersion: 5 as const },
        ...{ clientId: 'stays', clean, reconnectPeriod: 0 },
        properties: { sessionExpiryInterval: 600 },
      });
    await ask('PUT', '/vhosts/again', {});
    const before = await join(true);
    await before.subscribeAsync('a/b', { qos: 1 });
    const left = new Promise<void>((resolve) => before.once('close', () => resolve()));
    await ask('DELETE', '/vhosts/again');
    await left;
    await ask('PUT', '/vhosts/again', {});
    const after = await join(false);
    const came = new Promise<string>((resolve) => {
      after.on('message', (_topic, payload) => resolve(payload.toString()));
    });
    expect((await ask('GET', '/bindings/again')).body).toEqual([]);
    await after.subscribeAsync('a/b', { qos: 1 });
    await after.publishAsync('a/b', 'works', { qos: 1 });
    expect(await came).toBe('works');
    await after.endAsync();
  });

  it('have limits', async () => {
    await ask('PUT', '/vhosts/narrow', {});
    const limits = '/vhost-limits/narrow';
    expect(await statusOf(ask('PUT', `${limits}/max-queues`, { value: 1 }))).toBe(204);
    expect((await ask('GET', limits)).body).toEqual([
      { vhost: 'narrow', value: { 'max-queues': 1 } },
    ]);
    expect(await statusOf(ask('PUT', '/queues/narrow/one', {}))).toBe(201);
    expect(await statusOf(ask('PUT', '/queues/narrow/two', {}))).toBe(400);
    expect(await statusOf(ask('DELETE', `${limits}/max-queues`))).toBe(204);
    expect(await statusOf(ask('PUT', '/queues/narrow/two', {}))).toBe(201);
    expect(await statusOf(ask('PUT', `${limits}/max-nonsense`, { value: 1 }))).toBe(400);
    expect((await ask('PUT', `${limits}/max-queues`, {})).body).toEqual({
      error: 'bad_request',
      reason: '[{key_missing,value}]',
    });
  });
});

describe('users', () => {
  it('come in with a password or a hash of RabbitMQ, and change', async () => {
    const path = '/users/hashed';
    // Of 'p', by RabbitMQ 3.10.8.
    const password_hash = 'zbbIlGVbsSi15dy6HM3olxRrkXW2vhtH/WoPG20yC4WsSLQE';
    expect(await statusOf(ask('PUT', path, { password_hash, tags: 'monitoring' }))).toBe(201);
    expect((await ask('GET', path)).body).toEqual({
      name: 'hashed',
      password_hash,
      hashing_algorithm: 'rabbit_password_hashing_sha256',
      tags: ['monitoring'],
      limits: {},
    });
    expect(await statusOf(as('hashed', 'p')('GET', '/whoami'))).toBe(200);
    expect(await statusOf(ask('PUT', path, { password: 'q', tags: ['monitoring'] }))).toBe(204);
    expect(await statusOf(as('hashed', 'p')('GET', '/whoami'))).toBe(401);
    expect(await statusOf(as('hashed', 'q')('GET', '/whoami'))).toBe(200);
    expect(await statusOf(ask('PUT', path, { tags: 'monitoring' }))).toBe(204);
    expect(await statusOf(as('hashed', 'q')('GET', '/whoami'))).toBe(401);
    expect(await statusOf(ask('DELETE', path))).toBe(204);
    expect(await statusOf(ask('DELETE', path))).toBe(404);
  });

  it('are refused in the words of RabbitMQ', async () => {
    expect((await ask('PUT', '/users/x', { password: 'p' })).body).toEqual({
      error: 'bad_request',
      reason: 'tags_not_present',
    });
    expect(await statusOf(ask('PUT', '/users/x', { tags: '', password_hash: 'not_hash' }))).toBe(
      400,
    );
    expect(await statusOf(ask('PUT', '/users/%00guest', { tags: '', password: 'x' }))).toBe(400);
    expect((await ask('PUT', '/users/guest', { password: 'p', tags: '' })).body).toMatchObject({
      reason: "user 'guest' stands in the configuration file: it is changed there",
    });
    expect(await statusOf(ask('DELETE', '/users/guest'))).toBe(400);
    expect(await statusOf(ask('POST', '/users/bulk-delete', { users: ['guest'] }))).toBe(400);
  });

  it('are made with their permissions, and as before there were tags', async () => {
    await ask('PUT', '/vhosts/ready', {});
    const rights = { permissions: { ready: ALL } };
    const given = { password: 'pw', tags: 'management', ...rights };
    expect(await statusOf(ask('PUT', '/users/ready', given))).toBe(201);
    expect(await statusOf(as('ready')('PUT', '/queues/ready/q', {}))).toBe(201);
    const lost = { ...given, permissions: { nowhere: ALL } };
    expect(await statusOf(ask('PUT', '/users/ready', lost))).toBe(400);
    await ask('PUT', '/users/legacy', { password: 'pw', administrator: 'true' });
    expect((await ask('GET', '/users/legacy')).body).toMatchObject({ tags: ['administrator'] });
    expect(await statusOf(ask('PUT', '/permissions/nowhere/ready', ALL))).toBe(400);
    expect(await statusOf(ask('PUT', '/permissions/%2F/nobody', ALL))).toBe(400);
    expect(await statusOf(as('ready')('GET', '/vhosts/%2F'))).toBe(401);
    expect(await statusOf(ask('PUT', '/vhosts/ready', { tracing: true }))).toBe(400);
    expect(await statusOf(ask('GET', '/queues/ready/'))).toBe(200);
  });

  it('lose their connections with their account, and permissions at once', async () => {
    await ask('PUT', '/users/brief', { password: 'pw', tags: '' });
    const url = `amqp://brief:pw@127.0.0.1:${gateway.port('amqp')}`;
    await expect(connect(url)).rejects.toThrow();
    expect(await statusOf(ask('PUT', '/permissions/%2F/brief', ALL))).toBe(201);
    expect(await statusOf(ask('PUT', '/permissions/%2F/brief', ALL))).toBe(204);
    const connection = await connect(url, { noDelay: true });
    const channel = await connection.createConfirmChannel();
    const failed = new Promise<string>((resolve) => {
      channel.once('error', (error: Error) => resolve(error.message));
    });
    const ended = new Promise<string>((resolve) => {
      connection.once('close', (error?: Error) => resolve(error?.message ?? ''));
    });
    channel.publish('amq.fanout', '', Buffer.from('1'));
    await channel.waitForConfirms();
    await ask('PUT', '/permissions/%2F/brief', { ...ALL, write: '' });
    channel.publish('amq.fanout', '', Buffer.from('2'));
    expect(await failed).toContain('ACCESS_REFUSED');
    await ask('DELETE', '/users/brief');
    expect(await ended).toContain("CONNECTION_FORCED - user 'brief' was deleted");
  });

  it('leave nothing to the next of their name in XMPP', async () => {
    const account = '/users/heir';
    await ask('PUT', account, { password: 'pw', tags: '' });
    await ask('PUT', '/permissions/%2F/heir', ALL);
    const service = `xmpp://127.0.0.1:${gateway.port('xmpp')}`;
    const xmpp = client({
      ...{ service, domain: 'localhost', username: 'heir', password: 'pw' },
    });
    xmpp.on('error', () => {});
    await xmpp.start();
    const inboxes = async (): Promise<unknown> =>
      (await ask('GET', '/queues/%2F?columns=name&page=1&name=heir')).body;
    expect(await inboxes()).toMatchObject({ filtered_count: 1 });
    const ended = new Promise<void>((resolve) => xmpp.once('disconnect', () => resolve()));
    await ask('DELETE', account);
    await ended;
    await xmpp.stop();
    expect(await inboxes()).toMatchObject({ filtered_count: 0 });
  });

  it('have limits, and are listed where they have no permissions', async () => {
    await ask('PUT', '/users/few', { password: 'pw', tags: '' });
    expect(await statusOf(ask('PUT', '/user-limits/few/max-channels', { value: 3 }))).toBe(204);
    expect((await ask('GET', '/user-limits/few')).body).toEqual([
      { user: 'few', value: { 'max-channels': 3 } },
    ]);
    const { body } = await ask('GET', '/users/without-permissions?columns=name');
    expect(body).toContainEqual({ name: 'few' });
    expect(await statusOf(ask('POST', '/users/bulk-delete', { users: ['few'] }))).toBe(204);
    expect(await statusOf(ask('GET', '/users/few'))).toBe(404);
  });

  it('have topic permissions', async () => {
    await ask('PUT', '/users/topical', { password: 'pw', tags: '' });
    const path = '/topic-permissions/%2F/topical';
    const permission = { exchange: 'amq.topic', write: '^a', read: '.*' };
    expect(await statusOf(ask('GET', path))).toBe(404);
    expect(await statusOf(ask('PUT', path, permission))).toBe(201);
    expect((await ask('GET', path)).body).toEqual([{ user: 'topical', vhost: '/', ...permission }]);
    expect(await statusOf(ask('DELETE', path))).toBe(204);
    expect(await statusOf(ask('DELETE', path))).toBe(404);
    await ask('PUT', path, permission);
    expect(await statusOf(ask('DELETE', `${path}/amq.direct`))).toBe(404);
    expect(await statusOf(ask('DELETE', `${path}/amq.topic`))).toBe(204);
  });
});

describe('exchanges, queues and bindings', () => {
  beforeAll(() => ask('PUT', '/vhosts/top', {}));

  it('are declared, shown and deleted', async () => {
    expect(await statusOf(ask('PUT', '/exchanges/top/e', { type: 'topic' }))).toBe(201);
    expect(await statusOf(ask('PUT', '/exchanges/top/e', { type: 'topic' }))).toBe(204);
    const spec = { arguments: { 'x-max-length': 5 }, auto_delete: 'false' };
    expect(await statusOf(ask('PUT', '/queues/top/q', spec))).toBe(201);
    const bound = await ask('POST', '/bindings/top/e/e/q/q', {
      routing_key: 'a.#',
      arguments: { n: 1 },
    });
    expect([bound.status, bound.location]).toEqual([201, expect.stringMatching(/^q\/a\.%2523~/)]);
    const { body } = await ask('GET', '/queues/top/q/bindings');
    const [, binding] = body as { properties_key: string }[];
    expect(binding).toMatchObject({
      source: 'e',
      vhost: 'top',
      destination: 'q',
      destination_type: 'queue',
      routing_key: 'a.#',
      arguments: { n: 1 },
    });
    expect((await ask('GET', '/exchanges/top/e/bindings/source')).body).toEqual([binding]);
    expect((await ask('GET', '/bindings/top/e/e/q/q')).body).toEqual([binding]);
    const one = `/bindings/top/e/e/q/q/${encodeURIComponent(binding?.properties_key ?? '')}`;
    expect((await ask('GET', one)).body).toEqual(binding);
    expect(await statusOf(ask('DELETE', one))).toBe(204);
    expect(await statusOf(ask('DELETE', one))).toBe(404);
    expect((await ask('GET', '/queues/top/q')).body).toMatchObject({
      name: 'q',
      type: 'classic',
      durable: true,
      messages: 0,
      consumers: 0,
      state: 'running',
      arguments: { 'x-max-length': 5 },
    });
    expect(await statusOf(ask('DELETE', '/queues/top/q?if-empty=true'))).toBe(204);
    expect(await statusOf(ask('DELETE', '/exchanges/top/e'))).toBe(204);
    expect(await statusOf(ask('DELETE', '/exchanges/top/e'))).toBe(404);
  });

  it.each([
    ['PUT', '/queues/top/amq.mine', {}, 401, 'reserved prefix'],
    ['PUT', '/queues/top/q', 'nonsense', 400, 'not_json'],
    ['PUT', '/queues/top/q', [], 400, 'not_json'],
    ['PUT', '/queues/top/q', { durable: 'maybe' }, 400, 'durable: expected true or false'],
    ['PUT', '/queues/top/q', { arguments: { 'x-expires': 0 } }, 400, '{value_zero,0}'],
    ['PUT', '/exchanges/top/x', { type: 'x-none' }, 400, "unknown exchange type 'x-none'"],
    ['POST', '/bindings/top/e/none/q/q', {}, 404, "no exchange 'none' in vhost 'top'"],
    ['POST', '/queues/top/none/get', { count: 1, ackmode: 'x', encoding: 'auto' }, 400, 'ackmode'],
    ['POST', '/exchanges/top/amq.topic/publish', {}, 400, '{key_missing,routing_key}'],
    ['GET', '/queues?page=0', undefined, 400, 'at least 1'],
    ['GET', '/queues?page=1&name=(&use_regex=true', undefined, 400, 'Invalid regular'],
  ])('refuse %s %s of %o', async (method, path, given, status, reason) => {
    const answer = await ask(method, path, given);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ reason: expect.stringContaining(reason) });
  });

  it('are listed in pages, sorted, by name and with some columns', async () => {
    await ask('PUT', '/vhosts/many', {});
    for (const name of ['b1', 'a1', 'c2']) await ask('PUT', `/queues/many/${name}`, {});
    const names = async (query: string): Promise<unknown> =>
      (await ask('GET', `/queues/many?${query}`)).body;
    expect(await names('columns=name&sort=name')).toEqual([
      { name: 'a1' },
      { name: 'b1' },
      { name: 'c2' },
    ]);
    expect(
      await names('page=1&page_size=1&name=1&sort=name&sort_reverse=true&columns=name'),
    ).toEqual({
      filtered_count: 2,
      item_count: 1,
      items: [{ name: 'b1' }],
      page: 1,
      page_count: 2,
      page_size: 1,
      total_count: 3,
    });
    expect(await names('page=1&name=^[ab]&use_regex=true&columns=name')).toMatchObject({
      filtered_count: 2,
    });
    expect(await names('page=4')).toMatchObject({ error: 'page_out_of_range' });
  });
});

function nested(depth: number): object {
  return depth === 0 ? {} : { inner: nested(depth - 1) };
}

describe('messages', () => {
  const get = (ackmode: string, more: object = {}): Promise<ApiAnswer> =>
    ask('POST', '/queues/mail/q/get', { count: 5, ackmode, encoding: 'auto', ...more });
  const publish = (key: string, payload: string, payload_encoding = 'string'): Promise<ApiAnswer> =>
    ask('POST', '/exchanges/mail/amq.default/publish', {
      routing_key: key,
      properties: {
        delivery_mode: 2,
        content_type: 'text/plain',
        headers: { colour: 'red', n: 2 },
      },
      ...{ payload, payload_encoding },
    });

  beforeAll(async () => {
    await ask('PUT', '/vhosts/mail', {});
    await ask('PUT', '/queues/mail/q', {});
  });

  it('are published, looked at and taken', async () => {
    expect((await publish('nowhere', 'x')).body).toEqual({ routed: false });
    expect((await publish('q', 'größe')).body).toEqual({ routed: true });
    expect((await publish('q', '/w==', 'base64')).body).toEqual({ routed: true });
    const { body } = await get('ack_requeue_true');
    expect(body).toEqual([
      {
        payload_bytes: 7,
        redelivered: false,
        exchange: '',
        routing_key: 'q',
        message_count: 1,
        properties: {
          content_type: 'text/plain',
          delivery_mode: 2,
          headers: { colour: 'red', n: 2 },
        },
        payload: 'größe',
        payload_encoding: 'string',
      },
      expect.objectContaining({ payload: '/w==', payload_encoding: 'base64', payload_bytes: 1 }),
    ]);
    expect((await get('ack_requeue_false', { count: 1, truncate: 2 })).body).toMatchObject([
      { payload: 'gr', redelivered: true, payload_bytes: 7 },
    ]);
    expect((await ask('GET', '/queues/mail/q')).body).toMatchObject({ messages: 1 });
    expect(await statusOf(ask('DELETE', '/queues/mail/q/contents'))).toBe(204);
    expect((await get('ack_requeue_true')).body).toEqual([]);
  });

  it('reach clients as any other, with their properties', async () => {
    await publish('q', 'for a client');
    const url = `amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}/mail`;
    const connection = await connect(url, { noDelay: true });
    const channel = await connection.createChannel();
    const message = await channel.get('q', { noAck: true });
    if (message === false) throw new Error('no message');
    expect(message.content.toString()).toBe('for a client');
    expect(message.properties).toMatchObject({
      contentType: 'text/plain',
      deliveryMode: 2,
      headers: { colour: 'red', n: 2 },
    });
    await connection.close();
  });

  it('say who sent them, or nobody', async () => {
    const given = { routing_key: 'q', payload: 'x', payload_encoding: 'string' };
    const path = '/exchanges/mail/amq.default/publish';
    expect(await statusOf(ask('POST', path, { ...given, properties: { user_id: 'guest' } }))).toBe(
      200,
    );
    expect((await ask('POST', path, { ...given, properties: { user_id: 'alice' } })).body).toEqual({
      error: 'bad_request',
      reason:
        "406 PRECONDITION_FAILED - user_id property set to 'alice' but authenticated user was 'guest'",
    });
    await ask('DELETE', '/queues/mail/q/contents');
  });

  it.each([
    ['long texts', { content_type: 'x'.repeat(300), message_id: 'é'.repeat(200) }, 200],
    ['headers nested too deep', { headers: nested(70) }, 400],
    ['an expiration that is none', { expiration: 'soon' }, 400],
  ])('with %s are answered for', async (_what, properties, status) => {
    const given = { routing_key: 'none', properties, payload: 'x', payload_encoding: 'string' };
    expect(await statusOf(ask('POST', '/exchanges/mail/amq.default/publish', given))).toBe(status);
  });

  it('go nowhere in an exchange that is not there', async () => {
    const given = { routing_key: '', properties: {}, payload: 'x', payload_encoding: 'string' };
    expect(await ask('POST', '/exchanges/mail/none/publish', given)).toMatchObject({
      status: 400,
      body: { reason: "404 NOT_FOUND - no exchange 'none' in vhost 'mail'" },
    });
  });
});

describe('connections', () => {
  it('of every protocol are listed, and closed', async () => {
    const url = `amqp://alice:secret@127.0.0.1:${gateway.port('amqp')}`;
    const connection = await connect(url, { noDelay: true });
    const said = new Promise<string>((resolve) => {
      connection.once('close', (error?: Error) => resolve(error?.message ?? ''));
    });
    const { body } = await ask('GET', '/connections/username/alice');
    expect(body).toMatchObject([
      { user: 'alice', vhost: '/', protocol: 'AMQP 0-9-1', peer_host: '127.0.0.1', ssl: false },
    ]);
    const [{ name }] = body as [{ name: string }];
    const path = `/connections/${encodeURIComponent(name)}`;
    expect(await statusOf(ask('GET', path))).toBe(200);
    expect(await statusOf(ask('DELETE', path))).toBe(204);
    expect(await said).toContain('CONNECTION_FORCED - Closed via management plugin');
    expect(await statusOf(ask('GET', path))).toBe(404);
    expect(await statusOf(ask('DELETE', path))).toBe(404);
  });
});

describe('health checks', () => {
  it.each([
    ['alarms', 200],
    ['local-alarms', 200],
    ['virtual-hosts', 200],
    ['ready-to-serve-clients', 200],
    ['protocol-listener/amqp', 200],
    ['protocol-listener/amqps', 503],
    ['port-listener/1', 503],
    ['port-listener/x', 400],
  ])('%s: %i', async (check, status) => {
    expect(await statusOf(ask('GET', `/health/checks/${check}`))).toBe(status);
  });

  it('send a message through, and look at a listener', async () => {
    expect((await ask('GET', '/aliveness-test/%2F')).body).toEqual({ status: 'ok' });
    const port = gateway.port('amqp');
    expect((await ask('GET', `/health/checks/port-listener/${port}`)).body).toEqual({
      status: 'ok',
      port,
    });
  });
});

describe('the overview', () => {
  it('tells what is known, under the names of RabbitMQ', async () => {
    expect((await ask('GET', '/overview')).body).toMatchObject({
      product_name: 'Rosetta MQ',
      rabbitmq_version: '3.10.8',
      node: 'rosettamq@localhost',
      object_totals: { queues: expect.any(Number), connections: expect.any(Number) },
      listeners: expect.arrayContaining([
        expect.objectContaining({ protocol: 'amqp', port: gateway.port('amqp') }),
      ]),
    });
    expect((await ask('GET', '/nodes')).body).toMatchObject([{ running: true, mem_alarm: false }]);
    expect((await ask('GET', '/extensions')).body).toEqual([]);
  });

  it.each(['/nothing', '/channels', '/queues/%2F/none'])('%s is not there', async (path) => {
    expect(await ask('GET', path)).toMatchObject({
      status: 404,
      body: { error: 'Object Not Found', reason: 'Not Found' },
    });
  });
});
