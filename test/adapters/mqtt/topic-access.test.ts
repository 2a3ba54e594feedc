import { describe, expect, it } from 'vitest';
import { mqttOptions } from '../../../adapters/mqtt/options.ts';
import { fillIn, TopicAccess } from '../../../adapters/mqtt/topic-access.ts';
import { MemoryStore } from '../../../core/store/memory.ts';
import { TestGateway } from './client.ts';

const RULES = {
  topic_permissions: [
    {
      user: 'alice',
      publish: ['devices/%c/#', 'shout'],
      subscribe: ['devices/%c/+', 'users/%u/#', 'public/#', '$SYS/#'],
    },
    { user: 'bob', subscribe: ['#'] },
  ],
};

function access(clientId: string, user: string): TopicAccess {
  return TopicAccess.of(mqttOptions(RULES).topicRules, clientId, user);
}

describe('topic permissions', () => {
  it.each([
    ['devices/c1/state', true],
    ['devices/c1', true],
    ['devices/c2/state', false],
    ['shout', true],
    ['shout/louder', false],
    ['$queue/work', false],
  ])('publishing to %s: %s', (topic, allowed) => {
    expect(access('c1', 'alice').mayPublish(topic)).toBe(allowed);
  });

  it.each([
    ['devices/c1/state', true],
    ['devices/c1/+', true],
    ['devices/c1/#', false],
    ['devices/+/state', false],
    ['users/alice/#', true],
    ['users/bob/x', false],
    ['public/#', true],
    ['public/a/+/b', true],
    ['+/a', false],
    ['#', false],
    ['$share/g/public/a', true],
    ['$share/g/private', false],
    ['$SYS/broker/#', true],
  ])('subscribing to %s: %s', (filter, allowed) => {
    expect(access('c1', 'alice').maySubscribe(filter)).toBe(allowed);
  });

  it('keep wildcards away from topics that begin with $, and allow nothing that is not listed', () => {
    const bob = access('c1', 'bob');
    expect(bob.maySubscribe('a/#')).toBe(true);
    expect(bob.maySubscribe('$SYS/#')).toBe(false);
    expect(bob.mayPublish('a')).toBe(false);
  });

  it('are for the users that they name', () => {
    const guest = access('c1', 'guest');
    expect(guest.mayPublish('devices/c2/state') && guest.maySubscribe('#')).toBe(true);
  });

  it('give nothing to a name that would make another filter', () => {
    for (const clientId of ['+', '#', 'a/b', '']) {
      expect(fillIn('devices/%c', clientId, 'alice')).toBeNull();
      expect(access(clientId, 'alice').mayPublish(`devices/${clientId}/state`)).toBe(false);
    }
    expect(fillIn('%u/%c/%u', 'c', 'u')).toBe('u/c/u');
  });

  it('are checked where they are written', () => {
    const wrong = [{ user: '(' }, { publish: ['a#'] }, { subscribe: [''] }];
    for (const rule of wrong) {
      expect(() => mqttOptions({ topic_permissions: [rule] })).toThrow(/topic_permissions/);
    }
  });

  it('deny without ending the connection: MQTT 5 is told, MQTT 3 as far as it can be', () => {
    const gateway = new TestGateway(RULES);
    const watcher = gateway.connect('w', 5, { username: 'bob' });
    watcher.subscribe('#', 1);
    const client = gateway.connect('c1');
    client.publish('devices/c2/state', 'x', 1);
    expect(client.one('puback').reasonCode).toBe(0x87);
    client.publish('devices/c2/state', 'x', 2);
    expect(client.one('pubrec').reasonCode).toBe(0x87);
    client.publish('devices/c2/state', 'x', 0);
    expect(client.subscribe('devices/c2/state', 1)).toEqual([0x87]);
    client.publish('devices/c1/state', 'on', 1);
    expect(client.one('puback').reasonCode).toBe(0);
    const old = gateway.connect('c2', 4);
    old.publish('devices/c1/state', 'forged', 1);
    expect(old.one('puback').messageId).toBe(1);
    expect(old.subscribe('devices/c1/state')).toEqual([0x80]);
    expect(watcher.texts()).toEqual(['devices/c1/state on']);
    expect([client, old].map(({ transport }) => transport.ended)).toEqual([null, null]);
  });

  it('deny an alias of a topic that is denied', () => {
    const client = new TestGateway(RULES).connect('c1');
    client.publish('secret', 'x', 1, { properties: { topicAlias: 1 } });
    client.publish('', 'x', 1, { properties: { topicAlias: 1 } });
    expect(client.take()).toMatchObject([{ reasonCode: 0x87 }, { reasonCode: 0x87 }]);
  });

  it('end subscriptions of a session that they do not allow any more', () => {
    const store = new MemoryStore();
    const lasting = { clean: false, properties: { sessionExpiryInterval: 100 } };
    const before = new TestGateway({}, { store });
    const first = before.connect('c1', 5, lasting);
    for (const filter of ['private', 'public/#']) first.subscribe(filter, 1);
    before.gate.stop();
    const after = new TestGateway(RULES, { store });
    const client = after.connect('c1', 5, lasting);
    const sender = after.connect('s', 5, { username: 'guest', password: Buffer.from('guest') });
    for (const topic of ['private', 'public/x']) sender.publish(topic, 'x', 1);
    expect(client.texts()).toEqual(['public/x x']);
  });

  it('refuse a client whose will it may not publish', () => {
    const gateway = new TestGateway(RULES);
    const will = { topic: 'devices/c2/state', payload: Buffer.from('x'), qos: 0, retain: false };
    const client = gateway.client(5);
    expect(client.connect('c1', { will } as never)).toMatchObject({ reasonCode: 0x87 });
    expect(client.transport.ended).toBe('end');
    const own = { ...will, topic: 'devices/c1/state' };
    expect(gateway.client(5).connect('c1', { will: own } as never)).toMatchObject({
      reasonCode: 0,
    });
  });
});

describe('response information', () => {
  const asking = { properties: { requestResponseInformation: true } };

  it('is told to a client that asks', () => {
    const gateway = new TestGateway();
    const connack = gateway.client(5).connect('c1', asking);
    expect(connack).toMatchObject({ properties: { responseInformation: 'response/c1' } });
    const silent = gateway.client(5).connect('c2');
    expect(silent).not.toHaveProperty('properties.responseInformation');
    const odd = gateway.client(5).connect('a/b', asking);
    expect(odd).not.toHaveProperty('properties.responseInformation');
  });

  it('is as the configuration says', () => {
    const own = new TestGateway({ response_information: 'r/%u/%c' });
    expect(own.client(5).connect('c1', asking)).toMatchObject({
      properties: { responseInformation: 'r/alice/c1' },
    });
    const none = new TestGateway({ response_information: '' });
    expect(none.client(5).connect('c1', asking)).not.toHaveProperty(
      'properties.responseInformation',
    );
    expect(() => mqttOptions({ response_information: 'a/#' })).toThrow(/not a topic/);
  });
});

describe('another server', () => {
  it.each([
    [false, 0x9c],
    [true, 0x9d],
  ])('is named to MQTT 5 clients (moved for good: %s)', (moved, reasonCode) => {
    const gateway = new TestGateway({ server_reference: 'mq2.example:1883', server_moved: moved });
    const client = gateway.client(5);
    const connack = client.connect('c');
    expect(connack).toMatchObject({
      reasonCode,
      properties: { serverReference: 'mq2.example:1883' },
    });
    expect(client.transport.ended).toBe('end');
    const old = gateway.client(4);
    expect(old.connect('c')).toMatchObject({ returnCode: 3 });
  });
});
