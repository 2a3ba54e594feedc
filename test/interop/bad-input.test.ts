/**
 * Bad input on every port: the protocol's own error, that connection closed, and everybody else goes on.
 * A bystander of each protocol exchanges messages with the next after every abuse.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Gateway } from '../../main.ts';
import { startGateway } from '../support/gateway.ts';
import { connect } from '../support/raw-client.ts';
import { ABUSES, type Abuse, BEGINNINGS, NOISE, WEB_ABUSES } from './abuse.ts';
import { type Inbox, queue } from './clients/client.ts';
import { PROTOCOL_ENDS } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';

const HEAP_GROWTH_MAX_BYTES = 24 * 1024 * 1024;

let world: InteropGateway;
let hasty: Gateway;
let inboxes: Inbox[] = [];

beforeAll(async () => {
  world = await startInterop(PROTOCOL_ENDS);
  hasty = await startGateway({ limits: { login_timeout_ms: 200 } });
  const consuming = PROTOCOL_ENDS.map((end) => world.receiver(end).consume(placeOf(end.protocol)));
  inboxes = await Promise.all(consuming);
});
afterAll(async () => {
  await hasty.stop();
  await world.stop();
});

const placeOf = (protocol: string): ReturnType<typeof queue> => queue(`bystander-${protocol}`);

/** Each protocol's bystander writes to the next one's. */
async function bystandersGoOn(about: string): Promise<void> {
  for (const [index, end] of PROTOCOL_ENDS.entries()) {
    const next = (index + 1) % PROTOCOL_ENDS.length;
    const place = placeOf(PROTOCOL_ENDS[next]?.protocol ?? '');
    await world.sender(end).publish(place, { body: about });
    expect((await inboxes[next]?.next())?.body.toString()).toBe(about);
  }
}

/** Sends and waits until the gateway closes; what it said meanwhile. */
async function abuse(
  { port, bytes }: Pick<Abuse, 'port' | 'bytes'>,
  gateway: Gateway,
): Promise<string> {
  const client = await connect(gateway.port(port));
  client.send(bytes);
  await client.closed();
  return client.received.toString('latin1');
}

describe.each(['amqp', 'mqtt', 'stomp', 'xmpp', 'http'])('the %s port', (port) => {
  it.each(ABUSES.filter((each) => each.port === port))('refuses $what', async (each) => {
    expect(await abuse(each, world.gateway)).toMatch(each.answer);
    await bystandersGoOn(`after ${each.what} on ${each.port}`);
  });
});

describe.each(['amqp', 'mqtt', 'stomp', 'xmpp'])('the %s port', (port) => {
  const beginnings = BEGINNINGS.filter((each) => each.port === port);
  it('closes who does not log in in time', async () => {
    for (const each of beginnings) await abuse(each, hasty);
    expect(await abuse({ port: 'http', bytes: 'FETCH\r\n\r\n' }, hasty)).toMatch(/^HTTP/);
  });
});

describe('WebSocket', () => {
  it.each(WEB_ABUSES)('$subprotocol refuses noise', async ({ subprotocol, answer }) => {
    const socket = new WebSocket(`ws://127.0.0.1:${world.gateway.port('http')}/`, [subprotocol]);
    const heard: Buffer[] = [];
    socket.on('message', (data) => heard.push(data as Buffer));
    const closed = new Promise((resolve) => socket.on('close', resolve));
    // STOMP's noise has to end before it can be refused.
    socket.on('open', () => socket.send(Buffer.concat([NOISE, Buffer.from('\n\n\0')])));
    socket.on('error', () => {});
    await closed;
    expect(Buffer.concat(heard).toString('latin1')).toMatch(answer);
    await bystandersGoOn(`after noise on ${subprotocol}`);
  });

  it('refuses a subprotocol that nobody speaks', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${world.gateway.port('http')}/`, ['soap']);
    const failed = await new Promise<Error>((resolve) => socket.on('error', resolve));
    expect(failed.message).toMatch(/Unexpected server response: 4\d\d|subprotocol/);
    await bystandersGoOn('after an unknown subprotocol');
  });
});

it('leaves nothing in memory', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const round = async (): Promise<void> => {
    for (const each of ABUSES) await abuse(each, world.gateway);
  };
  for (let warm = 0; warm < 3; warm++) await round();
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let again = 0; again < 10; again++) await round();
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(HEAP_GROWTH_MAX_BYTES);
  await bystandersGoOn('after everything');
}, 60_000);
