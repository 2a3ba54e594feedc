import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as secure } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { RawClient } from '../../support/raw-client.ts';
import { testAuthority, tlsFile } from '../../support/tls.ts';
import { HEADER, plain } from './pipe-client.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({
    tls: { cert: tlsFile('server.pem'), key: tlsFile('server.key') },
    xmpp: { require_tls: true },
  });
});
afterAll(() => gateway.stop());

const until =
  (text: string) =>
  (received: Buffer): boolean =>
    received.includes(text);

test('a client goes over to TLS, logs in and is served', async () => {
  const socket = connect(gateway.port('xmpp'), '127.0.0.1');
  const clear = new RawClient(socket);
  clear.send(HEADER);
  const features = await clear.readUntil(until('</stream:features>'));
  expect(features.toString()).toContain('<required/>');
  clear.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  await clear.readUntil(until('<proceed'));
  socket.removeAllListeners('data');
  const encrypted = secure({ socket, ca: testAuthority(), servername: 'localhost' });
  await once(encrypted, 'secureConnect');
  const client = new RawClient(encrypted);
  client.send(HEADER);
  await client.readUntil(until('<mechanism>PLAIN</mechanism>'));
  const login = plain('alice', 'secret');
  client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${login}</auth>`);
  await client.readUntil(until('<success'));
  client.send(HEADER);
  client.send(
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>t</resource></bind></iq>",
  );
  await client.readUntil(until('alice@localhost/t</jid>'));
  client.send('</stream:stream>');
  await client.readUntil(until('</stream:stream>'));
});
