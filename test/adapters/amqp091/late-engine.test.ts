import { expect, test } from 'vitest';
import { Method } from '../../../adapters/amqp091/wire.ts';
import {
  type Actor,
  ack,
  consume,
  declareQueue,
  HEADER,
  method,
  NO_ARGUMENTS,
  octet,
  openChannel,
  openVhost,
  publish,
  Stage,
  short,
  startOk,
  text,
  tuneOk,
} from './script.ts';

const names = (...each: string[]): Buffer => Buffer.concat([short(0), ...each.map(text)]);

/** An everyday session with every kind of control call, pipelined. */
const SCRIPT = Buffer.concat([
  ...[HEADER, startOk(), tuneOk(), openVhost(), openChannel(1), openChannel(2)],
  method(1, Method.EXCHANGE_DECLARE, names('x', 'topic'), octet(0), NO_ARGUMENTS),
  declareQueue(1, 'q'),
  method(1, Method.QUEUE_BIND, names('q', 'x', 'a.#'), octet(0), NO_ARGUMENTS),
  method(1, Method.CONFIRM_SELECT, octet(0)),
  publish(1, 'a.b', 'one', { exchange: 'x' }),
  publish(1, 'none', 'two', { exchange: 'x', bits: 1 }),
  consume(2, 'q', 'c'),
  consume(1, 'amq.rabbitmq.reply-to', 'replies', 2),
  ack(2, 1),
  method(2, Method.BASIC_CANCEL, text('c'), octet(0)),
  publish(1, 'q', 'three'),
  method(2, Method.BASIC_GET, names('q'), octet(1)),
  method(2, Method.TX_SELECT),
  publish(2, 'a.c', 'four', { exchange: 'x' }),
  method(2, Method.TX_COMMIT),
  method(2, Method.QUEUE_PURGE, names('q'), octet(0)),
  declareQueue(2, 'missing', 1),
  declareQueue(1, '', 1),
]);

/**
 * The tags that the server draws are the same from the same seed; only time may pass differently.
 */
async function play(late: boolean, pieces: (script: Buffer) => Buffer[]): Promise<string[]> {
  const actor: Actor = new Stage({ late }).client();
  for (const piece of pieces(SCRIPT)) actor.say(piece);
  await actor.settle();
  return actor.hear();
}

test('an engine that answers later makes no difference to what a client hears', async () => {
  const plain = await play(false, (script) => [script]);
  expect(plain).toContain(
    "2 channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50, 10)",
  );
  // Confirms wait for the end of a turn, and turns end where an answer is awaited.
  const order = (lines: string[]): string[] => lines.filter((line) => !/basic\.ack/.test(line));
  const acks = (lines: string[]): string[] => lines.filter((line) => /basic\.ack/.test(line));
  const whole = await play(true, (script) => [script]);
  expect(order(whole)).toEqual(order(plain));
  expect(acks(whole).at(-1)).toMatch(/^1 basic\.ack 3 /);
  const bytes = await play(true, (script) => [...script].map((byte) => octet(byte)));
  expect(order(bytes)).toEqual(order(plain));
});

test('nothing of a client is handled while an answer is awaited', async () => {
  const actor = new Stage({ late: true }).client();
  actor.say(HEADER, startOk(), tuneOk(), openVhost(), openChannel(1));
  await actor.settle();
  actor.hear();
  actor.say(declareQueue(1, 'q'), declareQueue(1, 'q', 1));
  expect(actor.hear()).toEqual([]);
  expect(actor.transport.held).toBe(1);
  await actor.settle();
  expect(actor.hear()).toEqual(['1 queue.declare-ok q 0 0', '1 queue.declare-ok q 0 0']);
});

test('a client that is lost while its login is looked at leaves nothing behind', async () => {
  const stage = new Stage({ late: true });
  const actor = stage.client();
  actor.say(HEADER, startOk(), tuneOk(), openVhost());
  actor.connection.closed(new Error('reset'));
  await actor.settle();
  expect(stage.world.engine.admin.totals().sessions).toBe(0);
});

test('a connection that is lost while its answer is awaited takes no harm from it', async () => {
  const stage = new Stage({ late: true });
  const actor = stage.client();
  actor.say(HEADER, startOk(), tuneOk(), openVhost(), openChannel(1));
  await actor.settle();
  actor.say(declareQueue(1, 'q', 4), consume(1, 'q', 'c'), publish(1, 'q', 'x'));
  actor.connection.closed(null);
  await actor.settle();
  const { sessions, consumers } = stage.world.engine.admin.totals();
  expect({ sessions, consumers }).toEqual({ sessions: 0, consumers: 0 });
});
