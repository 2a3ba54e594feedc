import { type Client, client, xml } from '@xmpp/client';
import type { Element } from '@xmpp/xml';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

// What browsers and later versions of Node have of themselves.
Object.assign(globalThis, { WebSocket });

let gateway: Gateway;
let clients: Client[] = [];
beforeAll(async () => {
  gateway = await startGateway();
});
afterEach(async () => {
  for (const each of clients) await each.stop();
  clients = [];
});
afterAll(() => gateway.stop());

/** Resolves with the first stanza that fits. */
function next(of: Client, fits: (stanza: Element) => boolean): Promise<Element> {
  return new Promise((resolve) => {
    const listener = (stanza: Element): void => {
      if (!fits(stanza)) return;
      of.off('stanza', listener);
      resolve(stanza);
    };
    of.on('stanza', listener);
  });
}

const withBody =
  (body: string) =>
  (stanza: Element): boolean =>
    stanza.name === 'message' &&
    stanza.children.some(
      (child) => typeof child !== 'string' && child.name === 'body' && child.getText() === body,
    );

describe.each([
  ['TCP', () => `xmpp://127.0.0.1:${gateway.port('xmpp')}`],
  ['WebSocket', () => `ws://127.0.0.1:${gateway.port('http')}/xmpp-websocket`],
])('@xmpp/client over %s', (_, service) => {
  async function login(
    username: string,
    resource: string,
    password: string = 'secret',
  ): Promise<Client> {
    const made = client({ service: service(), domain: 'localhost', username, password, resource });
    made.on('error', () => {});
    made.reconnect.delay = 1;
    clients.push(made);
    await made.start();
    return made;
  }

  test('logs in, binds its resource and chats', async () => {
    const alice = await login('alice', 'one');
    const bob = await login('bob', 'two');
    const seen = next(bob, (stanza) => stanza.name === 'presence');
    await bob.send(xml('presence'));
    await seen;
    const got = next(bob, withBody('héllo <&> "you"'));
    await alice.send(
      xml(
        'message',
        { to: 'bob@localhost', type: 'chat', id: 'm1' },
        xml('body', {}, 'héllo <&> "you"'),
      ),
    );
    const message = await got;
    expect(message.attrs.from).toBe('alice@localhost/one');
    expect(message.attrs.id).toBe('m1');
    expect(message.attrs.type).toBe('chat');
  });

  test('is refused with a wrong password', async () => {
    await expect(login('alice', 'one', 'wrong')).rejects.toThrow('not-authorized');
  });

  test('gets answers to its requests', async () => {
    const alice = await login('alice', 'one');
    const ping = xml(
      'iq',
      { type: 'get', to: 'localhost' },
      xml('ping', { xmlns: 'urn:xmpp:ping' }),
    );
    expect((await alice.iqCaller.request(ping)).attrs.type).toBe('result');
    const odd = xml('iq', { type: 'get', to: 'localhost' }, xml('odd', { xmlns: 'urn:odd' }));
    await expect(alice.iqCaller.request(odd)).rejects.toThrow('service-unavailable');
  });

  test('finds what was sent to it while it was away', async () => {
    const alice = await login('alice', 'one');
    await alice.send(
      xml(
        'message',
        { to: 'guest@localhost', type: 'chat' },
        xml('body', {}, `stored ${service()}`),
      ),
    );
    const ping = xml(
      'iq',
      { type: 'get', to: 'localhost' },
      xml('ping', { xmlns: 'urn:xmpp:ping' }),
    );
    await alice.iqCaller.request(ping);
    const guest = await login('guest', 'late', 'guest');
    const got = next(guest, withBody(`stored ${service()}`));
    await guest.send(xml('presence'));
    const message = await got;
    const delay = message.children.find(
      (child) => typeof child !== 'string' && child.name === 'delay',
    );
    expect(delay).toBeDefined();
  });

  test('resumes its session after the connection broke', async () => {
    const alice = await login('alice', 'broken');
    const bob = await login('bob', 'two');
    const ping = xml(
      'iq',
      { type: 'get', to: 'localhost' },
      xml('ping', { xmlns: 'urn:xmpp:ping' }),
    );
    await alice.iqCaller.request(ping);
    const got = next(alice, withBody('while you were away'));
    const gone = new Promise<void>((resolve) => alice.once('disconnect', () => resolve()));
    alice.socket?.destroy?.();
    alice.socket?.end?.();
    await gone;
    await bob.send(
      xml(
        'message',
        { to: 'alice@localhost/broken', type: 'chat' },
        xml('body', {}, 'while you were away'),
      ),
    );
    expect((await got).attrs.from).toBe('bob@localhost/two');
  });
});
