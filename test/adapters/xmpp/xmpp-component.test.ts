/** `@xmpp/component`: a component for its domain, a worker on a queue, a caller and one who is called. */
import { type Component, component, type Stanza, xml } from '@xmpp/component';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { connect, type RawClient } from '../../support/raw-client.ts';
import { HEADER, plain } from './pipe-client.ts';

let gateway: Gateway;
let opened: Component[] = [];
beforeAll(async () => {
  gateway = await startGateway();
});
afterEach(async () => {
  for (const each of opened) await each.stop();
  opened = [];
});
afterAll(() => gateway.stop());

function made(password: string = 'shared'): Component {
  const service = `xmpp://127.0.0.1:${gateway.port('xmpp-component')}`;
  const each = component({ service, domain: 'comp.localhost', password });
  each.on('error', () => {});
  opened.push(each);
  return each;
}

/** Resolves with the first stanza that fits. */
function next(of: Component, fits: (stanza: Stanza) => boolean): Promise<Stanza> {
  return new Promise((resolve) => {
    const listener = (stanza: Stanza): void => {
      if (!fits(stanza)) return;
      of.off('stanza', listener);
      resolve(stanza);
    };
    of.on('stanza', listener);
  });
}

/** Alice, by hand. */
async function alice(): Promise<RawClient> {
  const client = await connect(gateway.port('xmpp'));
  client.send(HEADER);
  await client.readText('</stream:features>');
  client.send(
    `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain('alice', 'secret')}</auth>`,
  );
  await client.readText('<success');
  client.send(HEADER);
  client.send(
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>a</resource></bind></iq><presence/>",
  );
  await client.readText('alice@localhost/a</jid>');
  return client;
}

test('speaks for anybody of its domain, and hears what they are told', async () => {
  const echo = made();
  expect((await echo.start()).toString()).toBe('comp.localhost');
  echo.on('stanza', (stanza: Stanza) => {
    const { from = '', to = '' } = stanza.attrs;
    const body = stanza.getChildText('body');
    if (!stanza.is('message') || body === null) return;
    void echo.send(
      xml('message', { from: to, to: from, type: 'chat' }, xml('body', {}, `echo ${body}`)),
    );
  });
  const client = await alice();
  client.send("<message to='any@comp.localhost' type='chat' id='m'><body>hi</body></message>");
  await client.readText('<body>echo hi</body>');
  client.destroy();
});

test('asks and is asked', async () => {
  const service = made();
  service.iqCallee.get('urn:example:time', 'time', () =>
    xml('time', { xmlns: 'urn:example:time' }, 'noon'),
  );
  await service.start();
  const version = await service.iqCaller.request(
    xml(
      'iq',
      { type: 'get', from: 'comp.localhost', to: 'localhost' },
      xml('query', { xmlns: 'jabber:iq:version' }),
    ),
  );
  expect(version.getChild('query')?.getChildText('name')).toBe('Rosetta MQ');
  const client = await alice();
  client.send("<iq type='get' id='t' to='comp.localhost'><time xmlns='urn:example:time'/></iq>");
  await client.readText('noon</time></iq>');
  client.destroy();
});

test('works on a queue', async () => {
  const worker = made();
  await worker.start();
  const joined = next(worker, (stanza) => stanza.is('presence'));
  await worker.send(xml('presence', { from: 'w@comp.localhost/1', to: 'tasks@queues.localhost' }));
  await joined;
  const job = next(worker, (stanza) => stanza.is('message'));
  const client = await alice();
  client.send("<message to='tasks@queues.localhost' id='m'><body>dig</body></message>");
  const { attrs } = await job;
  expect(attrs['to']).toBe('w@comp.localhost/1');
  await worker.send(
    xml('message', { from: 'w@comp.localhost/1', to: attrs['from'] ?? '' }, xml('body', {}, 'dug')),
  );
  await client.readText('<body>dug</body>');
  client.destroy();
});

test('is refused with a wrong secret', async () => {
  await expect(made('wrong').start()).rejects.toThrow('not-authorized');
});
