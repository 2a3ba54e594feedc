/** Client libraries in Debian's Python, each doing a day's work. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { tlsFile } from '../../support/tls.ts';
import { pythonHas, runPython } from './python.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({
    tls: { cert: tlsFile('server.pem'), key: tlsFile('server.key') },
    xmpp: { allow_anonymous: true, anonymous_user: 'alice' },
  });
});
afterAll(() => gateway.stop());

describe.skipIf(!pythonHas('aioxmpp'))('aioxmpp', () => {
  test('works over STARTTLS: people, rooms, topics, commands', async () => {
    expect(await runPython('aioxmpp_client.py', gateway.port('xmpp'))).toEqual([
      { step: 'login', jid: 'alice@localhost/aio', managed: true },
      { step: 'chat', body: 'hello', sender: 'alice@localhost/aio' },
      { step: 'disco', identities: [['server', 'im']] },
      { step: 'version', name: 'Rosetta MQ' },
      { step: 'commands', some: true },
      { step: 'command', fields: ['pattern'], status: 'completed' },
      { step: 'roster', name: 'Bob', groups: ['friends'] },
      { step: 'room', body: 'hi all', nick: 'al', members: ['al', 'bo'] },
      { step: 'configured' },
      { step: 'subscribed', state: 'subscribed' },
      { step: 'event', node: 'aio/news', id: 'i1', text: 'one' },
      { step: 'items', ids: ['i1'] },
      { step: 'options', fields: ['pubsub#deliver', 'pubsub#expire', 'pubsub#show-values'] },
      { step: 'affiliations', all: [['alice@localhost', 'owner']] },
      { step: 'deleted' },
      { step: 'blocked', jids: ['mallory@localhost'] },
      { step: 'card' },
    ]);
  }, 60_000);
});

const slixmpp = pythonHas('slixmpp') && pythonHas('pika');
describe.skipIf(!slixmpp)("slixmpp's plug-ins", () => {
  test('bind a login to its TLS connection', async () => {
    expect(await runPython('slixmpp_bound.py', gateway.port('xmpp'))).toEqual(
      ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS'].map((mechanism) => ({
        step: 'login',
        mechanism,
        jid: 'alice@localhost/bound',
      })),
    );
  }, 60_000);

  test('administer, call an AMQP worker, store, subscribe, acknowledge', async () => {
    const ports = [gateway.port('xmpp'), gateway.port('amqp')];
    expect(await runPython('slixmpp_plugins.py', ...ports)).toEqual([
      { step: 'commands', admin: true },
      {
        step: 'command',
        opened: 'executing',
        done: 'completed',
        notes: [['info', 'Operation finished successfully']],
      },
      { step: 'password', jid: 'dora@localhost' },
      { step: 'gone' },
      { step: 'anonymous', named: true },
      { step: 'rpc', answer: [42] },
      { step: 'uptime', ok: true },
      { step: 'card', name: 'Alice' },
      { step: 'bookmarks', jids: ['talk@rooms.localhost'] },
      { step: 'config', max: '10' },
      { step: 'options', fields: ['pubsub#deliver', 'pubsub#expire', 'pubsub#show-values'] },
      { step: 'items', ids: ['1', '2'] },
      { step: 'subscriptions', states: ['subscribed'] },
      { step: 'deleted' },
      { step: 'receipt', id: 'r1' },
    ]);
  }, 60_000);
});
