/** Bounds that clients meet: levels of topics, packets larger than they take, wrong answers. */
import { describe, expect, it } from 'vitest';
import { TestGateway } from './client.ts';

const DEEP = `${'a/'.repeat(200)}a`;
const DEEPEST = `${'a/'.repeat(199)}a`;

function small(maximumPacketSize: number) {
  return { properties: { maximumPacketSize } };
}

describe('topics with too many levels', () => {
  it('are no filters', () => {
    const gateway = new TestGateway();
    expect(gateway.connect('old', 4).subscribe(DEEP, 1)).toEqual([0x80]);
    const client = gateway.connect('c');
    expect(client.subscribe(DEEP, 1)).toEqual([0x8f]);
    expect(client.subscribe(`$share/g/${DEEPEST}`, 1)).toEqual([0x8f]);
    expect(client.subscribe(DEEPEST, 1)).toEqual([1]);
    client.publish(DEEPEST, 'x', 0);
    expect(client.texts()).toEqual([`${DEEPEST} x`]);
  });

  it('cannot be published to', () => {
    const gateway = new TestGateway({}, { limits: { mqttTopicLevelsMax: 3 } });
    const client = gateway.connect('c');
    client.publish('a/b/c/d', 'x', 1, { retain: true });
    expect(client.one('puback').reasonCode).toBe(0x90);
    client.publish('/b/c', 'x', 1);
    expect(client.one('puback').reasonCode).toBe(0x10);
    expect(client.transport.ended).toBeNull();
  });
});

describe("answers that fit the client's Maximum Packet Size", () => {
  it('leave out what holds anyway', () => {
    const connack = new TestGateway().client().connect('c', small(20));
    expect(connack).toMatchObject({ reasonCode: 0, properties: { receiveMaximum: 1024 } });
    expect(connack).not.toHaveProperty('properties.retainAvailable');
  });

  it('are a refusal, or nothing, where there is no room for a CONNACK', () => {
    const gateway = new TestGateway();
    const refused = gateway.client();
    expect(refused.connect('c', small(5))).toMatchObject({ reasonCode: 0x95 });
    expect(refused.transport.ended).toBe('end');
    const silenced = gateway.client();
    expect(() => silenced.connect('c', small(4))).toThrow('no CONNACK');
    expect(silenced.transport.ended).toBe('end');
  });

  it('end the connection where they are too large', () => {
    const client = new TestGateway().connect('c', 5, small(20));
    const subscriptions = Array.from({ length: 16 }, (_, i) => ({
      topic: `t${i}`,
      qos: 0 as const,
    }));
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions });
    expect(client.one('disconnect').reasonCode).toBe(0x95);
  });
});

describe('an answer that its PUBLISH has not', () => {
  it.each([
    [1, 'pubrec'],
    [1, 'pubcomp'],
    [2, 'puback'],
    [2, 'pubcomp'],
  ] as const)('ends the connection: QoS %i, %s', (qos, cmd) => {
    for (const version of [4, 5] as const) {
      const gateway = new TestGateway();
      const client = gateway.connect('c', version);
      client.subscribe('t', qos);
      gateway.connect('s').publish('t', 'x', qos);
      const { messageId } = client.one('publish');
      client.send({ cmd, messageId: messageId ?? 0 });
      expect(client.transport.ended).toBe('end');
      if (version === 5) expect(client.one('disconnect').reasonCode).toBe(0x82);
    }
  });

  it('ends it after PUBREC as well', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    client.subscribe('t', 2);
    gateway.connect('s').publish('t', 'x', 2);
    const { messageId } = client.one('publish');
    client.send({ cmd: 'pubrec', messageId: messageId ?? 0 });
    client.one('pubrel');
    client.send({ cmd: 'puback', messageId: messageId ?? 0 });
    expect(client.one('disconnect').reasonCode).toBe(0x82);
  });
});

describe('a keep-alive', () => {
  it('does not run while nothing is read from the client, for whatever reason', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, { keepalive: 10 });
    client.transport.hold();
    gateway.world.clock.advance(60_000);
    expect(client.transport.ended).toBe(null);
    client.transport.release();
    gateway.world.clock.advance(14_000);
    expect(client.transport.ended).toBe(null);
    gateway.world.clock.advance(2000);
    expect(client.one('disconnect').reasonCode).toBe(0x8d);
  });
});
