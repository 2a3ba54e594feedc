/**
 * Frames of a working client, damaged and split anywhere: nothing may be thrown, hang, answer with
 * bytes that are no frames, or be taken for a failure of ours (541), and nothing may stay behind.
 */
import { Method } from '../../adapters/amqp091/wire.ts';
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
  Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]),
];
const LOGIN: readonly Buffer[] = [HEADER, startOk(), tuneOk(0, 4096), openVhost()];

export function fuzz(seed: number, rounds: number): void {
  const random = new SeededRandom(seed);
  const stage = new Stage({ seed });
  let client: Actor | null = null;
  for (let round = 0; round < rounds; round++) {
    if (client === null || client.transport.ended !== null) {
      client?.connection.closed(null);
      client = stage.client();
      // Now and then the login is what is damaged.
      for (const piece of LOGIN) say(client, random, random.below(50) === 0, piece);
    }
    say(client, random, random.below(4) === 0, random.pick(FRAMES));
    check(client, round);
    if (random.below(20) === 0) stage.world.clock.advance(random.below(5000));
    if (random.below(500) === 0) client.transport.end();
  }
  client?.connection.closed(null);
  const { sessions, unacknowledged, consumers } = stage.world.engine.admin.totals();
  if (sessions + unacknowledged + consumers > 0) {
    throw new Error(`left behind: ${JSON.stringify({ sessions, unacknowledged, consumers })}`);
  }
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
