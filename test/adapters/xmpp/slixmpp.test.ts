import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { pythonHas, runPython, type Step } from './python.ts';

describe.skipIf(!pythonHas('slixmpp'))('slixmpp', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway();
  });
  afterAll(() => gateway.stop());

  function run(...args: string[]): Promise<Step[]> {
    return runPython('slixmpp_client.py', gateway.port('xmpp'), ...args);
  }

  test('logs in with every mechanism', async () => {
    const steps = await run('mechanisms');
    expect(steps).toEqual(
      ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256'].map((mechanism) => ({
        step: 'login',
        mechanism,
        jid: 'alice@localhost/m',
      })),
    );
  }, 60_000);

  test('reads its archive, blocks, publishes about itself', async () => {
    const steps = await run('history');
    expect(steps).toEqual([
      { step: 'archive', bodies: ['one', 'two', 'three'] },
      { step: 'blocked', jids: ['mallory@localhost'] },
      { step: 'nick', sender: 'alice@localhost', nick: 'Al' },
    ]);
  }, 60_000);

  test('speaks for a domain as a component', async () => {
    const steps = await run('component', String(gateway.port('xmpp-component')));
    expect(steps).toEqual([
      { step: 'component', body: 'echo hi', sender: 'any@comp.localhost' },
      { step: 'component', body: 'first' },
    ]);
  }, 60_000);

  test('chats, asks, sees presence, meets in rooms, publishes, works on a queue', async () => {
    const steps = await run();
    expect(steps).toEqual([
      { step: 'chat', body: 'hello', sender: 'alice@localhost/a' },
      { step: 'reply', body: 'hello yourself' },
      { step: 'disco', identities: [['server', 'im']] },
      {
        step: 'items',
        jids: ['exchanges.localhost', 'pubsub.localhost', 'queues.localhost', 'rooms.localhost'],
      },
      { step: 'ping', ok: true },
      { step: 'version', name: 'Rosetta MQ' },
      { step: 'time', utc: 'Z' },
      { step: 'roster', subscription: 'both' },
      { step: 'room', body: 'hi all', nick: 'al', roster: ['al', 'bo'] },
      { step: 'configured' },
      { step: 'event', node: 'news/today', id: 'i1', tag: '{http://www.w3.org/2005/Atom}entry' },
      { step: 'last', ids: ['i1'] },
      { step: 'deleted' },
      { step: 'queue', body: 'work', place: 'jobs@queues.localhost' },
      { step: 'answer', body: 'done' },
      { step: 'carbon', body: 'copied' },
    ]);
  }, 60_000);
});
