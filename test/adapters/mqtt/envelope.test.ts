/** The JSON envelope of MQTT 3.1 and 3.1.1 clients (docs/mqtt.md): written, opened, and between clients. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EnvelopeFormat } from '../../../adapters/mqtt/envelope.ts';
import { mqttFormat } from '../../../adapters/mqtt/format.ts';
import { ROUTING_KEY_HEADER } from '../../../core/envelope.ts';
import type { Message, Properties } from '../../../core/message.ts';
import { FORMATS, messageOf, NOW, said, written } from '../../fidelity/formats.ts';
import { fields, properties } from '../../fidelity/generated.ts';
import { queue } from '../../interop/clients/client.ts';
import { AMQP, type End, MORE_ENDS, MQTT5 } from '../../interop/clients/ends.ts';
import { type InteropGateway, startInterop } from '../../interop/interop-gateway.ts';
import { createWorld } from '../../support/world.ts';

const EXCHANGE = 'amq.topic';
const MQTT = mqttFormat(EXCHANGE);
const ENVELOPE = new EnvelopeFormat(EXCHANGE);
const GUEST = createWorld().principal('guest');
const FIELDS = {
  ...{ exchange: EXCHANGE, routingKey: 'a', durable: true },
  ...{ priority: 0, expiresAt: 0, retain: false },
};

/** As an MQTT 3.1.1 client of this name publishes it. */
function published(payload: Buffer, user: string): Message {
  const message = messageOf(MQTT, Buffer.from([1]), { ...FIELDS, body: payload });
  return ENVELOPE.opened(message, MQTT, { ...GUEST, name: user });
}

function comparable(properties: Properties): object {
  const headers = properties.headers.filter(([name]) => name !== ROUTING_KEY_HEADER);
  return said({ ...properties, headers, text: undefined });
}

describe.each(FORMATS)('the envelope of a message from $name', (format) => {
  it('says all of it, and gives it back', () => {
    fc.assert(
      fc.property(properties, fields, (properties, fields) => {
        const sent = written(format, properties, fields);
        const back = published(sent.as(ENVELOPE, NOW), properties.userId ?? '');
        expect(comparable(back.properties)).toEqual(comparable(sent.properties));
        expect(back.body).toEqual(sent.body);
        expect([back.priority, back.expiresAt]).toEqual([sent.priority, sent.expiresAt]);
      }),
    );
  });
});

describe('a payload', () => {
  const same = (payload: string): void => {
    expect(published(Buffer.from(payload), 'guest').body.toString()).toBe(payload);
  };

  it('that is no envelope is the body', () => {
    same('');
    same('{"rosettamq"');
    same('{"rosettamq":1,');
    same('{"rosettamq":2,"body":"x"}');
    same('{"rosettamq":1,"headers":[["a"]],"body":"x"}');
    same('{"rosettamq":1,"priority":256,"body":"x"}');
    // U+0000 is in no text of MQTT.
    same('{"rosettamq":1,"type":"a\\u0000b","body":"x"}');
  });

  it('keeps its quality of service, and names its publisher only truly', () => {
    const payload = Buffer.from('{"rosettamq":1,"user-id":"guest","body":"x"}');
    const own = published(payload, 'guest');
    expect(own.properties).toMatchObject({ userId: 'guest' });
    expect((own.native[0] ?? 0) & 3).toBe(1);
    expect(published(payload, 'other').properties.userId).toBeUndefined();
  });
});

describe('clients of MQTT 3.1.1', () => {
  const MQTT4 = MORE_ENDS.find(({ bare }) => bare !== null) as End;
  let world: InteropGateway;
  beforeAll(async () => {
    world = await startInterop([AMQP, MQTT4, MQTT5], { mqtt: { envelope_vhosts: ['/'] } });
  });
  afterAll(() => world.stop());

  const MESSAGE = {
    ...{ body: 'Größe', contentType: 'text/plain', correlationId: 'c-1', messageId: 'm-1' },
    ...{ headers: { unit: 'µm' }, priority: 7, persistent: true },
  };

  it('read what others say of their messages', async () => {
    const place = queue(world.unique('wrapped'));
    const inbox = await world.receiver(MQTT4).consume(place);
    await world.sender(AMQP).publish(place, MESSAGE);
    expect(JSON.parse((await inbox.next()).body.toString())).toEqual({
      ...{ rosettamq: 1, body: 'Größe', priority: 7, headers: [['unit', 'µm']] },
      ...{ 'content-type': 'text/plain', 'correlation-id': 'c-1', 'message-id': 'm-1' },
    });
  });

  it.each([AMQP, MQTT5])('say as much themselves: $name', async (end) => {
    const place = queue(world.unique('unwrapped'));
    const inbox = await world.receiver(end).consume(place);
    const { body, headers, priority, ...rest } = {
      ...{ body: MESSAGE.body, headers: [['unit', 'µm']], priority: 7 },
      ...{ 'content-type': 'text/plain', 'correlation-id': 'c-1', 'reply-to': '$queue/answers' },
    };
    const envelope = JSON.stringify({ rosettamq: 1, ...rest, headers, priority, body });
    await world.sender(MQTT4).publish(place, { body: envelope });
    const received = await inbox.next();
    expect(received).toMatchObject({
      ...{ contentType: 'text/plain', headers: MESSAGE.headers, priority: 7 },
      replyTo: end === AMQP ? 'answers' : '$queue/answers',
    });
    expect([received.body, received.correlationId]).toEqual([
      Buffer.from(MESSAGE.body),
      Buffer.from('c-1'),
    ]);
  });
});
