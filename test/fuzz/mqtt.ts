/**
 * Feeds mutated MQTT packets to connections of one gateway, in random chunks: none may throw, and
 * each keeps its bounds. Between them, clients that keep to the rules must find that they are kept.
 * The same seed does the same.
 */
import { generate, type Packet } from 'mqtt-packet';
import type { Connection } from '../../adapters/adapter.ts';
import { mqtt } from '../../adapters/mqtt/adapter.ts';
import { type Log, SILENT_LOG } from '../../core/log.ts';
import { PipeTransport } from '../support/pipe-transport.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { createWorld, PEER, type World } from '../support/world.ts';
import { HonestClient } from './mqtt-honest.ts';

const properties = { userProperties: { a: ['1', '2'] }, responseTopic: 'r', topicAlias: 2 };

function seeds(version: 3 | 4 | 5): Buffer[] {
  const packets: Packet[] = [
    { cmd: 'publish', topic: 'a/b', payload: 'x', qos: 0, dup: false, retain: true, properties },
    { cmd: 'publish', topic: 'a/b', payload: 'x', qos: 1, messageId: 5, dup: false, retain: false },
    { cmd: 'publish', topic: 'a/c', payload: 'x', qos: 2, messageId: 6, dup: true, retain: false },
    {
      cmd: 'publish',
      topic: '$queue/q',
      payload: 'x',
      qos: 1,
      messageId: 7,
      dup: false,
      retain: false,
    },
    { cmd: 'pubrel', messageId: 6 },
    { cmd: 'puback', messageId: 1 },
    { cmd: 'pubrec', messageId: 2 },
    { cmd: 'pubcomp', messageId: 2 },
    {
      cmd: 'subscribe',
      messageId: 8,
      subscriptions: [
        { topic: 'a/#', qos: 2, nl: true, rap: true, rh: 1 },
        { topic: '$share/g/a/+', qos: 1 },
        { topic: '$queue/q', qos: 1 },
      ],
    },
    { cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['a/#', '$share/g/a/+'] },
    { cmd: 'pingreq' },
    { cmd: 'disconnect', reasonCode: 4 },
  ];
  return packets.map((packet) => generate(packet, { protocolVersion: version }));
}

function connectBytes(random: SeededRandom, version: 3 | 4 | 5): Buffer {
  return generate({
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clean: random.below(2) === 0,
    clientId: `c${random.below(4)}`,
    keepalive: random.below(3) * 10,
    username: 'alice',
    password: Buffer.from('secret'),
    will: { topic: 'will', payload: Buffer.from('w'), qos: 1, retain: false },
    ...(version === 5 ? { properties: { sessionExpiryInterval: random.below(3) * 30 } } : {}),
  });
}

function mutated(random: SeededRandom, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let count = random.below(3); count > 0; count--) {
    copy[random.below(copy.length)] = random.below(256);
  }
  return random.below(8) === 0 ? copy.subarray(0, random.below(copy.length)) : copy;
}

interface Client {
  readonly transport: PipeTransport;
  readonly connection: Connection;
  readonly seeds: readonly Buffer[];
}

function connect(world: World, accept: (transport: PipeTransport) => Connection): Client {
  const { random } = world;
  const version = random.pick([3, 4, 5] as const);
  const transport = new PipeTransport();
  const connection = accept(transport);
  const hello = connectBytes(random, version);
  connection.receive(random.below(4) === 0 ? mutated(random, hello) : hello);
  return { transport, connection, seeds: seeds(version) };
}

/** A log whose errors are found: a connection that ends by a bug says so there. */
function watchedLog(errors: string[]): Log {
  const log: Log = {
    ...SILENT_LOG,
    error: (fields, message) => {
      const { err } = fields;
      errors.push(err instanceof Error ? `${message}: ${err.stack}` : message);
    },
    child: () => log,
  };
  return log;
}

/** Each round is one packet on one of a few connections. Throws for a crash, or a broken promise. */
export function fuzz(seed: number, rounds: number): void {
  const world = createWorld({ seed });
  const { random, clock, context } = world;
  const errors: string[] = [];
  const gate = mqtt.start({ ...context, log: watchedLog(errors) }, mqtt.options(undefined));
  if (gate instanceof Promise) throw new Error('the gate starts at once');
  const accept = (transport: PipeTransport) => gate.accept(transport, PEER, { protocol: 'mqtt' });
  const clients = Array.from({ length: 6 }, () => connect(world, accept));
  const honest = ([4, 5, 5] as const).map(
    (version, index) => new HonestClient(`honest/${index}`, version, random, accept),
  );
  for (let round = 0; round < rounds; round++) {
    random.pick(honest).act();
    const index = random.below(clients.length);
    const client = clients[index];
    if (client === undefined) continue;
    const bytes = mutated(random, random.pick(client.seeds));
    const at = random.below(bytes.length + 1);
    client.connection.receive(bytes.subarray(0, at));
    client.connection.receive(bytes.subarray(at));
    client.transport.sent();
    if (errors.length > 0) throw new Error(`seed ${seed}, round ${round}: ${errors[0]}`);
    if (client.transport.ended !== null || random.below(200) === 0) {
      client.connection.closed(null);
      clients[index] = connect(world, accept);
    }
    if (random.below(50) === 0) clock.advance(random.below(20_000));
  }
  for (const client of honest) client.finish();
}
