/**
 * Frames of working clients, damaged and split anywhere, while others go on with whole ones: nothing
 * may be thrown, hang, answer with bytes that are no frames, or be taken for a failure of ours (541),
 * and nothing may stay behind, in the broker or in what it counts of its memory.
 */

import { amqpFormat } from '../../adapters/amqp091/format.ts';
import { Method } from '../../adapters/amqp091/wire.ts';
import type { EmbeddedSession } from '../../core/embedded/session.ts';
import { Message } from '../../core/message.ts';
import { encodeLine } from '../adapters/amqp091/notation.ts';
import {
  type Actor,
  ack,
  consume,
  declareQueue,
  entry,
  HEADER,
  long,
  longlong,
  longText,
  method,
  NO_ARGUMENTS,
  octet,
  openChannel,
  openVhost,
  publish,
  Stage,
  short,
  startOk,
  table,
  text,
  tuneOk,
} from '../adapters/amqp091/script.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const names = (...each: string[]): Buffer => Buffer.concat([short(0), ...each.map(text)]);
const HEADERS = table(
  entry('CC', 'A', longText(Buffer.concat([Buffer.from('S'), longText('q')]))),
  entry('x-death', 'A', longText(Buffer.concat([Buffer.from('F'), table()]))),
  entry('n', 'F', table(entry('d', 'd', longlong(1)), entry('x', 'x', longText('y')))),
  entry('x-retain', 't', octet(1)),
);
const RICH = Buffer.concat([
  short(0xfffc),
  ...[text('text/plain'), text('gzip'), HEADERS, octet(2), octet(5), text('corr')],
  ...[text('reply'), text('1000'), text('id'), longlong(1), text('type'), text('guest')],
  ...[text('app'), text('cluster')],
]);

/** What a client may say once it is logged in. */
const FRAMES: readonly Buffer[] = [
  openChannel(1),
  openChannel(2),
  declareQueue(1, 'q'),
  declareQueue(1, '', 4),
  declareQueue(1, 'd', 0, table(entry('x-dead-letter-exchange', 'S', longText('')))),
  consume(1, 'q', 'c'),
  consume(2, 'q', '', 2),
  consume(1, 'amq.rabbitmq.reply-to', 'r', 2),
  publish(1, 'q', 'body'),
  publish(1, 'q', Buffer.alloc(9000), { frameBytes: 4096 }),
  publish(2, 'no', 'body', { bits: 1 }),
  publish(1, 'q', 'rich', { properties: RICH }),
  publish(1, 'a.b', 'rich', { exchange: 'amq.topic', properties: RICH }),
  ack(1, 1),
  ack(1, 0, true),
  method(1, Method.BASIC_NACK, longlong(1), octet(3)),
  method(1, Method.BASIC_REJECT, longlong(2), octet(1)),
  method(1, Method.BASIC_QOS, long(0), short(3), octet(1)),
  method(1, Method.BASIC_GET, names('q'), octet(0)),
  method(1, Method.BASIC_RECOVER, octet(1)),
  method(1, Method.BASIC_CANCEL, text('c'), octet(0)),
  method(1, Method.QUEUE_BIND, names('q', 'amq.topic', '#'), octet(0), NO_ARGUMENTS),
  method(1, Method.QUEUE_UNBIND, names('q', 'amq.topic', '#'), NO_ARGUMENTS),
  method(1, Method.QUEUE_PURGE, names('q'), octet(0)),
  method(1, Method.QUEUE_DELETE, names('q'), octet(0)),
  method(1, Method.EXCHANGE_DECLARE, names('x', 'topic'), octet(0), NO_ARGUMENTS),
  method(1, Method.EXCHANGE_BIND, names('x', 'amq.topic', 'a.#'), octet(0), NO_ARGUMENTS),
  method(1, Method.EXCHANGE_DELETE, names('x'), octet(0)),
  method(1, Method.CONFIRM_SELECT, octet(0)),
  method(2, Method.TX_SELECT),
  method(2, Method.TX_COMMIT),
  method(2, Method.TX_ROLLBACK),
  method(1, Method.CHANNEL_FLOW, octet(0)),
  method(1, Method.CHANNEL_FLOW, octet(1)),
  method(1, Method.CHANNEL_CLOSE_OK),
  method(2, Method.CHANNEL_CLOSE, short(200), text(''), long(0)),
  method(0, Method.CONNECTION_CLOSE, short(200), text(''), long(0)),
  ...[
    '1 queue.declare queue=p arguments={"x-max-priority":5,"x-max-length":20}',
    '1 queue.declare queue=t arguments={"x-message-ttl":900,"x-dead-letter-exchange":"amq.topic"}',
    '2 queue.declare queue=e arguments={"x-expires":3000,"x-single-active-consumer":true}',
    '1 queue.declare queue=u arguments={"x-message-deduplication":true,"x-max-length-bytes":300}',
    '2 queue.declare queue=r arguments={"x-max-length":2,"x-overflow":"reject-publish-dlx"}',
    '1 queue.declare queue=k durable arguments={"x-queue-type":"quorum","x-delivery-limit":2}',
    '1 queue.declare queue=s durable arguments={"x-queue-type":"stream"}',
    '1 exchange.declare exchange=d type=x-message-deduplication arguments={"x-cache-size":3}',
    '2 exchange.declare exchange=l type=x-delayed-message arguments={"x-delayed-type":"topic"}',
    '1 exchange.declare exchange=h type=headers arguments={"alternate-exchange":"amq.topic"}',
    '2 exchange.declare exchange=c type=x-consistent-hash auto-delete',
    '1 exchange.declare exchange=n type=x-recent-history internal',
    '1 exchange.bind source=amq.topic destination=n key=#',
    '1 exchange.bind source=h destination=d arguments={"x-match":"any-with-x","a":1}',
    '2 exchange.bind source=d destination=l key=#',
    '1 queue.bind queue=p exchange=amq.topic key=#',
    '1 queue.bind queue=t exchange=l key=#',
    '1 queue.bind queue=k exchange=d',
    '2 queue.bind queue=s exchange=n',
    '2 queue.bind queue=e exchange=c key=2',
    '1 queue.bind queue=u exchange=c key=1',
    '1 publish exchange=h body=x headers={"a":1,"x-deduplication-header":"a"}',
    '1 publish exchange=l key=a.b body=x headers={"x-delay":700,"x-cache-ttl":5}',
    '2 publish exchange=c key=k body=x mandatory delivery-mode=2',
    '1 publish key=u body=x headers={"x-deduplication-header:d":1.5}',
    '1 publish key=p body=x priority=7 expiration=50',
    '2 publish key=t body=x headers={"x-death":[{"queue":"t","reason":"expired","count:l":2}]}',
    '1 publish key=k body=x delivery-mode=2 user-id=guest',
    '1 publish key=r body=xyz mandatory',
    '1 publish key=s body=x reply-to=amq.rabbitmq.reply-to',
    '1 basic.consume queue=p tag=p arguments={"x-priority":3}',
    '1 basic.consume queue=e tag=e exclusive',
    '2 basic.consume queue=k tag=k no-wait',
    '1 basic.consume queue=s tag=s arguments={"x-stream-offset":"first"}',
    '2 basic.consume queue=u tag=u arguments={"x-selector":"a = 1 OR b IS NULL"}',
    '1 basic.get queue=t no-ack',
    '2 basic.get queue=k',
    '1 basic.nack tag=0 multiple requeue',
    '2 basic.reject tag=1',
    '2 basic.nack tag=3 multiple',
    '2 basic.qos count=2',
    '2 basic.cancel tag=k no-wait',
    '2 basic.recover-async requeue',
    '1 queue.delete queue=p if-unused',
    '1 queue.delete queue=k no-wait',
    '2 exchange.delete exchange=d if-unused',
    '1 exchange.unbind source=amq.topic destination=n key=#',
    '0 connection.update-secret secret=guest reason=x',
    '1 channel.close code=200',
    '2 channel.close code=200',
  ].map(encodeLine),
  Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]),
];
const LOGIN: readonly Buffer[] = [HEADER, startOk(), tuneOk(0, 4096), openVhost()];

const NOTHING = Buffer.alloc(2);
/** Clients at a time; only the first one's frames are damaged. */
const CLIENTS = 3;
/** Queues are emptied so often, or what nobody takes would slow everything down. */
const PURGE_ROUNDS = 5000;

export function fuzz(seed: number, rounds: number): void {
  const random = new SeededRandom(seed);
  const stage = new Stage({ seed });
  const clients: (Actor | null)[] = new Array<null>(CLIENTS).fill(null);
  for (let round = 0; round < rounds; round++) {
    const which = random.below(CLIENTS + 2) % CLIENTS;
    let client = clients[which] ?? null;
    if (client === null || client.transport.ended !== null) {
      client?.connection.closed(null);
      client = stage.client();
      clients[which] = client;
      // Now and then the login is what is damaged.
      for (const piece of LOGIN) say(client, random, which === 0 && random.below(50) === 0, piece);
    }
    say(client, random, which === 0 && random.below(4) === 0, random.pick(FRAMES));
    for (const each of clients) if (each !== null) check(each, round);
    if (random.below(20) === 0) stage.world.clock.advance(random.below(5000));
    if (random.below(500) === 0) client.transport.end();
    if (round % PURGE_ROUNDS === 0) purge(stage);
  }
  for (const client of clients) client?.connection.closed(null);
  checkEmpty(stage);
}

/** Deletes whatever there is: what counts in memory then was lost track of. */
function checkEmpty(stage: Stage): void {
  const { engine, clock } = stage.world;
  clock.advance(10_000);
  const session = engine.open('/', stage.world.principal('guest'));
  for (const { name } of [...engine.admin.queues('/')]) session.deleteQueue(name, false, false);
  for (const { name } of [...engine.admin.exchanges('/')]) {
    if (name === '' || name.startsWith('amq.')) forgetLastValues(session, name);
    else session.deleteExchange(name, false);
  }
  session.close();
  const { sessions, unacknowledged, consumers, ready, bytes } = engine.admin.totals();
  if (sessions + unacknowledged + consumers + ready + bytes > 0) {
    const left = { sessions, unacknowledged, consumers, ready, bytes };
    throw new Error(`left behind: ${JSON.stringify(left)}`);
  }
}

/** Built-in exchanges stay, with the last values that messages with `x-retain` left there. */
function forgetLastValues(session: EmbeddedSession, exchange: string): void {
  const nobody = { settled: () => {}, returned: () => {}, writable: () => {} };
  const publisher = session.publisher(nobody);
  for (const { routingKey } of session.retained(exchange, '#')) {
    const [none, retain] = [Buffer.alloc(0), true];
    const empty = new Message(
      amqpFormat,
      NOTHING,
      none,
      exchange,
      routingKey,
      false,
      0,
      0,
      0,
      retain,
    );
    publisher.publish(empty, 0, false);
  }
}

/** Streams keep what they have. */
function purge(stage: Stage): void {
  const client = stage.ready();
  for (const { name } of [...stage.world.engine.admin.queues('/')]) {
    if (name !== 's') client.say(encodeLine(`1 queue.purge queue=${name}`));
  }
  client.connection.closed(null);
}

function say(client: Actor, random: SeededRandom, damaged: boolean, bytes: Buffer): void {
  const sent = damaged ? damage(random, bytes) : bytes;
  let at = 0;
  while (at < sent.length) {
    const size = random.below(3) > 0 ? sent.length - at : 1 + random.below(sent.length - at);
    client.connection.receive(Buffer.from(sent.subarray(at, at + size)));
    at += size;
  }
}

function damage(random: SeededRandom, bytes: Buffer): Buffer {
  const damaged = Buffer.from(bytes);
  const at = random.below(damaged.length);
  switch (random.below(5)) {
    case 0:
      return damaged.subarray(0, at);
    case 1:
      return Buffer.concat([
        damaged.subarray(0, at),
        random.bytes(1 + random.below(4)),
        damaged.subarray(at),
      ]);
    case 2:
      return Buffer.concat([damaged.subarray(0, at), damaged.subarray(at + 1 + random.below(4))]);
    default:
      // Mostly single bytes, which keep the frame whole and reach further in.
      for (let i = random.below(3); i >= 0; i--)
        damaged[random.below(damaged.length)] = random.below(256);
      return damaged;
  }
}

function check(client: Actor, round: number): void {
  const said = client.hear();
  const failure = said.find((line) => line.includes(' 541 '));
  if (failure !== undefined) throw new Error(`round ${round}: ${failure}`);
}
