import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import type { IAuthPacket, IConnackPacket, Packet } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { type TestClient, TestGateway } from './client.ts';

type Hash = 'sha1' | 'sha256';
const METHODS = [
  ['SCRAM-SHA-1', 'sha1'],
  ['SCRAM-SHA-256', 'sha256'],
] as const;

const CONTINUE = 0x18;
const REAUTHENTICATE = 0x19;

/** The client's side of SCRAM (RFC 5802), written apart from the broker's. */
class Scram {
  readonly #hash: Hash;
  readonly #password: string;
  readonly #bare: string;
  #authMessage = '';
  #salted = Buffer.alloc(0);

  constructor(hash: Hash, user: string, password: string) {
    this.#hash = hash;
    this.#password = password;
    this.#bare = `n=${user},r=fyko+d2lbbFgONRv9qkxdawL`;
  }

  get first(): Buffer {
    return Buffer.from(`n,,${this.#bare}`);
  }

  final(serverFirst: string): Buffer {
    const parts = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst);
    if (parts === null) throw new Error(`not a challenge: ${serverFirst}`);
    const [, nonce = '', salt = '', iterations = ''] = parts;
    const bytes = this.#hash === 'sha1' ? 20 : 32;
    const saltBytes = Buffer.from(salt, 'base64');
    this.#salted = pbkdf2Sync(this.#password, saltBytes, Number(iterations), bytes, this.#hash);
    const bare = `c=${Buffer.from('n,,').toString('base64')},r=${nonce}`;
    this.#authMessage = `${this.#bare},${serverFirst},${bare}`;
    const clientKey = this.#mac(this.#salted, 'Client Key');
    const stored = createHash(this.#hash).update(clientKey).digest();
    const signature = this.#mac(stored, this.#authMessage);
    const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
    return Buffer.from(`${bare},p=${Buffer.from(proof).toString('base64')}`);
  }

  /** What only a server that knows the password's keys can say. */
  get verifier(): string {
    const signature = this.#mac(this.#mac(this.#salted, 'Server Key'), this.#authMessage);
    return `v=${signature.toString('base64')}`;
  }

  #mac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest();
  }
}

/** What comes next, once the keys are derived. */
async function next(client: TestClient): Promise<Packet> {
  return await expect
    .poll(() => client.peek().length, { interval: 2 })
    .toBeGreaterThan(0)
    .then(() => client.take()[0] as Packet);
}

function auth(reasonCode: number, authenticationMethod: string, data: Buffer | null): Packet {
  const properties =
    data === null ? { authenticationMethod } : { authenticationMethod, authenticationData: data };
  return { cmd: 'auth', reasonCode, properties } as unknown as Packet;
}

function connect(client: TestClient, method: string, data: Buffer | null): void {
  client.send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clean: true,
    clientId: 'c',
    keepalive: 0,
    properties: {
      authenticationMethod: method,
      ...(data === null ? {} : { authenticationData: data }),
    },
  });
}

function dataOf(packet: Packet): string {
  return ((packet as IAuthPacket).properties?.authenticationData ?? '').toString();
}

/** Logs in with SCRAM; answers the CONNACK. */
async function logIn(client: TestClient, method: string, scram: Scram): Promise<IConnackPacket> {
  connect(client, method, scram.first);
  const challenge = await next(client);
  expect(challenge).toMatchObject({
    cmd: 'auth',
    reasonCode: CONTINUE,
    properties: { authenticationMethod: method },
  });
  client.send(auth(CONTINUE, method, scram.final(dataOf(challenge))));
  return (await next(client)) as IConnackPacket;
}

describe.each(METHODS)('%s', (method, hash) => {
  it('logs in, and both sides have proved that they know the password', async () => {
    const gateway = new TestGateway();
    const scram = new Scram(hash, 'alice', 'secret');
    const client = gateway.client(5);
    const connack = await logIn(client, method, scram);
    expect(connack).toMatchObject({
      cmd: 'connack',
      reasonCode: 0,
      properties: { authenticationMethod: method },
    });
    expect(connack.properties?.authenticationData?.toString()).toBe(scram.verifier);
    expect(client.transport.loggedIn).toBe(true);
    client.subscribe('t', 1);
    client.publish('t', 'x', 1);
    expect(client.texts()).toEqual(['t x']);
  });

  it('asks for the first message where CONNECT had none', async () => {
    const client = new TestGateway().client(5);
    connect(client, method, null);
    expect(await next(client)).toMatchObject({ cmd: 'auth', reasonCode: CONTINUE });
    const scram = new Scram(hash, 'alice', 'secret');
    client.send(auth(CONTINUE, method, scram.first));
    client.send(auth(CONTINUE, method, scram.final(dataOf(await next(client)))));
    expect(await next(client)).toMatchObject({ cmd: 'connack', reasonCode: 0 });
  });

  it('refuses a wrong password and a user that is not there alike', async () => {
    const gateway = new TestGateway();
    const seen: unknown[] = [];
    for (const [user, password] of [
      ['alice', 'wrong'],
      ['nobody', 'secret'],
    ] as const) {
      const client = gateway.client(5);
      const connack = await logIn(client, method, new Scram(hash, user, password));
      expect(connack).toMatchObject({ cmd: 'connack', reasonCode: 0x87 });
      expect(client.transport.ended).toBe('end');
      expect(client.transport.loggedIn).toBe(false);
      seen.push(connack.reasonCode);
    }
    expect(gateway.world.meter.protocol('mqtt').loginsRefused).toBe(2);
  });

  it('logs in again while it is used, and only as the same user', async () => {
    const client = new TestGateway().client(5);
    await logIn(client, method, new Scram(hash, 'alice', 'secret'));
    client.subscribe('t');
    const again = new Scram(hash, 'alice', 'secret');
    client.send(auth(REAUTHENTICATE, method, again.first));
    const challenge = await next(client);
    client.publish('t', 'meanwhile');
    expect(client.texts()).toEqual(['t meanwhile']);
    client.send(auth(CONTINUE, method, again.final(dataOf(challenge))));
    const done = await next(client);
    expect(done).toMatchObject({ cmd: 'auth', reasonCode: 0 });
    expect(dataOf(done)).toBe(again.verifier);
    const other = new Scram(hash, 'bob', 'secret');
    client.send(auth(REAUTHENTICATE, method, other.first));
    client.send(auth(CONTINUE, method, other.final(dataOf(await next(client)))));
    expect(await next(client)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x87 });
    expect(client.transport.ended).toBe('end');
  });

  it('ends the connection where logging in again fails', async () => {
    const client = new TestGateway().client(5);
    await logIn(client, method, new Scram(hash, 'alice', 'secret'));
    const wrong = new Scram(hash, 'alice', 'guess');
    client.send(auth(REAUTHENTICATE, method, wrong.first));
    client.send(auth(CONTINUE, method, wrong.final(dataOf(await next(client)))));
    expect(await next(client)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x87 });
  });
});

describe('enhanced authentication', () => {
  const METHOD = 'SCRAM-SHA-256';
  const alice = () => new Scram('sha256', 'alice', 'secret');

  it('reads the vhost from the user name', async () => {
    const client = new TestGateway().client(5);
    const connack = await logIn(client, METHOD, new Scram('sha256', 'other:alice', 'secret'));
    // Alice has no permission there.
    expect(connack).toMatchObject({ cmd: 'connack', reasonCode: 0x87 });
    const guest = new TestGateway().client(5);
    const inside = await logIn(guest, METHOD, new Scram('sha256', 'other:guest', 'guest'));
    expect(inside).toMatchObject({ cmd: 'connack', reasonCode: 0 });
  });

  it.each([
    ['not SCRAM at all', 'hello'],
    ['channel binding that was not offered', 'p=tls-unique,,n=alice,r=abc'],
    ['somebody else', 'n,a=bob,n=alice,r=abc'],
    ['too much', `n,,n=alice,r=${'x'.repeat(5000)}`],
  ])('refuses a first message with %s', async (_, first) => {
    const client = new TestGateway().client(5);
    connect(client, METHOD, Buffer.from(first));
    expect(await next(client)).toMatchObject({ cmd: 'connack', reasonCode: 0x87 });
    expect(client.transport.ended).toBe('end');
  });

  it.each([
    ['another method', auth(CONTINUE, 'SCRAM-SHA-1', Buffer.from('x')), 0x8c],
    ['a wish to begin again', auth(REAUTHENTICATE, METHOD, Buffer.from('x')), 0x82],
    ['a reason that only brokers give', auth(0, METHOD, Buffer.from('x')), 0x82],
    ['another packet', { cmd: 'pingreq' } as Packet, 0x82],
    ['a message that is no proof', auth(CONTINUE, METHOD, Buffer.from('c=biws,r=1,p=AA==')), 0x87],
    ['nothing', auth(CONTINUE, METHOD, null), 0x87],
  ])('refuses %s before CONNACK', async (_, packet, reasonCode) => {
    const client = new TestGateway().client(5);
    connect(client, METHOD, alice().first);
    await next(client);
    client.send(packet);
    expect(await next(client)).toMatchObject({ cmd: 'connack', reasonCode });
    expect(client.transport.ended).toBe('end');
  });

  it('lets a client go away in the middle', async () => {
    const client = new TestGateway().client(5);
    connect(client, METHOD, alice().first);
    await next(client);
    client.send({ cmd: 'disconnect', reasonCode: 0 });
    expect(client.take()).toEqual([]);
    expect(client.transport.ended).toBe('end');
  });

  it.each([
    ['an answer to no question', auth(CONTINUE, METHOD, null), 0x82],
    ['no method', { cmd: 'auth', reasonCode: REAUTHENTICATE } as unknown as Packet, 0x82],
  ])('refuses AUTH after CONNACK with %s', async (_, packet, reasonCode) => {
    const client = new TestGateway().client(5);
    await logIn(client, METHOD, alice());
    client.send(packet);
    expect(await next(client)).toMatchObject({ cmd: 'disconnect', reasonCode });
  });

  it('does not change its method', async () => {
    const client = new TestGateway().client(5);
    await logIn(client, METHOD, alice());
    client.send(auth(REAUTHENTICATE, 'SCRAM-SHA-1', null));
    // DISCONNECT with 0x8C [MQTT 5, table 2.6], which mqtt-packet does not read.
    expect([...client.transport.sent().subarray(0, 3)]).toEqual([0xe0, expect.any(Number), 0x8c]);
    expect(client.transport.ended).toBe('end');
  });

  it('is for those who began with it', () => {
    const client = new TestGateway().connect('c', 5);
    client.send(auth(REAUTHENTICATE, METHOD, alice().first));
    expect(client.one('disconnect').reasonCode).toBe(0x82);
  });
});
