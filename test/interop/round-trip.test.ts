/**
 * Headers keep their AMQP types on a journey: AMQP → another protocol, whose application publishes the
 * headers that it got → AMQP. And where a message comes back to its own protocol, nothing is missing.
 */
import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { queue } from './clients/client.ts';
import { AMQP, type End, MQTT5, PROTOCOL_ENDS, STOMPIT, XMPP } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';

const TYPED = {
  text: 'plain',
  number_as_text: '42',
  byte: 7,
  negative: -3,
  short: 1000,
  integer: 100_000,
  long: 2 ** 40,
  double: 3.25,
  truth: true,
  lie: false,
  nothing: null,
  bytes: Buffer.from([0, 255, 10]),
  time: { '!': 'timestamp', value: 1_700_000_000 },
  price: { '!': 'decimal', value: { digits: 1995, places: 2 } },
  list: [1, 'two', false, [3.5], { four: 4 }],
  table: { inner: { truth: true, count: 100_000 }, 'with space': 'ä', 'x:y': 'line\nline' },
  empty_table: {},
  empty_list: [],
};

let world: InteropGateway;
beforeAll(async () => {
  world = await startInterop([...PROTOCOL_ENDS, STOMPIT]);
});
afterAll(() => world.stop());

describe.each([AMQP, MQTT5, STOMPIT, XMPP])('by way of $name', (middle) => {
  it('headers come back to AMQP with their types', async () => {
    expect(await journey(middle)).toEqual(await journey(AMQP));
  });
});

/** What AMQP receives of headers that an application of `middle` passed on. */
async function journey(middle: End): Promise<unknown> {
  const [there, back] = [queue(world.unique('there')), queue(world.unique('back'))];
  const stop = await world.receiver(middle).consume(there);
  const home = await world.receiver(AMQP).consume(back);
  await world.sender(AMQP).publish(there, { body: 'typed', headers: TYPED });
  const { headers } = await stop.next();
  await world.sender(middle).publish(back, { body: 'passed on', headers });
  return (await home.next()).headers;
}

describe.each(PROTOCOL_ENDS)('%s', (end) => {
  it('shows the headers of a dead letter to its consumer', async () => {
    const [dying, dead] = [world.unique('dying'), world.unique('dead')];
    const target = world.gateway.port('amqp');
    const connection = await connect(`amqp://user0:secret@127.0.0.1:${target}`);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(dying, {
      deadLetterExchange: '',
      deadLetterRoutingKey: dead,
      messageTtl: 0,
    });
    const inbox = await world.receiver(end).consume(queue(dead));
    channel.publish('', dying, Buffer.from('lost'), { headers: { mine: 'kept' } });
    const letter = await inbox.next();
    await connection.close();
    expect(letter.body.toString()).toBe('lost');
    expect(letter.headers).toMatchObject({ mine: 'kept', 'x-first-death-queue': dying });
    const deaths = letter.headers['x-death'];
    const list = typeof deaths === 'string' ? (JSON.parse(deaths) as unknown) : deaths;
    expect(list).toMatchObject([{ queue: dying, reason: 'expired', count: 1 }]);
  });
});
