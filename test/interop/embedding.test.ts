/** What docs/embedding.md says: a gateway within a program, and a protocol of one's own beside the others. */
import { connect as connectAmqp } from 'amqplib';
import { afterEach, expect, it } from 'vitest';
import { SILENT_LOG } from '../../core/log.ts';
import { Gateway } from '../../main.ts';
import { connect, type RawClient } from '../support/raw-client.ts';
import { line } from './line-adapter.ts';

let gateway: Gateway | null = null;
const clients: RawClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await gateway?.stop();
});

async function start(): Promise<Gateway> {
  const listeners = ['amqp', 'line'].map((protocol) => ({ protocol, port: 0 }));
  const started = new Gateway(
    { store: 'memory', listeners },
    { adapters: [line], log: SILENT_LOG },
  );
  await started.start();
  gateway = started;
  return started;
}

async function logIn(port: number): Promise<RawClient> {
  const client = await connect(port);
  clients.push(client);
  client.send('LOGIN guest guest\n');
  expect(await client.readText('\n')).toBe('OK\n');
  return client;
}

it('a protocol of the embedder exchanges messages with the built-in ones', async () => {
  const { port } = await start().then((started) => ({
    port: (name: string) => started.port(name),
  }));
  const amqp = await connectAmqp(`amqp://guest:guest@127.0.0.1:${port('amqp')}`);
  const channel = await amqp.createConfirmChannel();
  await channel.assertQueue('lines');
  const own = await logIn(port('line'));
  own.send('TAKE lines\n');
  expect(await own.readText('\n')).toBe('OK\n');
  channel.sendToQueue('lines', Buffer.from('from AMQP'));
  expect(await own.readText('\n')).toBe('GOT from AMQP\n');
  own.send('PUT - lines from its own protocol\n');
  expect((await own.readText('own protocol\n')).includes('GOT from its own protocol')).toBe(true);
  await channel.waitForConfirms();
  await amqp.close();
});

it('its refusals are its own', async () => {
  const started = await start();
  const client = await logIn(started.port('line'));
  client.send('TAKE nothing\n');
  expect(await client.readText('\n')).toMatch(/^NO .*nothing/);
  await client.closed();
});

it('a gateway that stops says good-bye in every protocol', async () => {
  const started = await start();
  const client = await logIn(started.port('line'));
  await started.stop();
  expect(await client.readText('\n')).toBe('NO the broker stops\n');
  gateway = null;
});
