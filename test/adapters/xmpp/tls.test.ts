import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { type ConnectionOptions, connect as secure, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { connectSecure, RawClient } from '../../support/raw-client.ts';
import { testAuthority, tlsFile } from '../../support/tls.ts';
import { HEADER, plain } from './pipe-client.ts';
import { scram } from './scram-client.ts';

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

describe('SCRAM over TLS is bound to the connection', () => {
  /** A TLS connection to the listener, up to its features. */
  async function secured(options: ConnectionOptions): Promise<[RawClient, TLSSocket]> {
    const socket = connect(gateway.port('xmpp'), '127.0.0.1');
    const clear = new RawClient(socket);
    clear.send(HEADER);
    await clear.readUntil(until('</stream:features>'));
    clear.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await clear.readUntil(until('<proceed'));
    socket.removeAllListeners('data');
    const encrypted = secure({ socket, ca: testAuthority(), servername: 'localhost', ...options });
    await once(encrypted, 'secureConnect');
    const client = new RawClient(encrypted);
    client.send(HEADER);
    await client.readUntil(until('</stream:features>'));
    return [client, encrypted];
  }

  const bindings: [string, ConnectionOptions, (socket: TLSSocket) => Buffer | undefined][] = [
    [
      'tls-exporter',
      { minVersion: 'TLSv1.3' },
      (socket) => socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)),
    ],
    // RFC 5929 section 3.1: what the client said first, in a handshake that is no resumption.
    ['tls-unique', { maxVersion: 'TLSv1.2' }, (socket) => socket.getFinished()],
    [
      'tls-server-end-point',
      {},
      // Signed with SHA-256.
      (socket) => createHash('sha256').update(socket.getPeerCertificate().raw).digest(),
    ],
  ];
  test.each(bindings)('by %s', async (name, options, dataOf) => {
    const [client, socket] = await secured(options);
    const ask = async (xml: string): Promise<string> => {
      client.consume(client.receivedBytes);
      client.send(xml);
      const ended = /<\/(challenge|failure|success)>/;
      return (await client.readUntil((bytes) => ended.test(bytes.toString()))).toString();
    };
    const bound = dataOf(socket);
    if (bound === undefined) throw new Error(`no ${name}`);
    const login = { mechanism: 'SCRAM-SHA-256-PLUS', user: 'alice', password: 'secret' };
    const gs2 = `p=${name},,`;
    const wrong = await scram(ask, { ...login, gs2, bound: Buffer.from('somebody else’s') });
    expect(wrong.answer).toContain('<failure');
    const { answer, expected } = await scram(ask, { ...login, gs2, bound });
    expect(answer).toContain(Buffer.from(`v=${expected}`).toString('base64'));
    client.destroy();
  });
});

test('a certificate is a login (XEP-0178)', async () => {
  const certificates = { cert: tlsFile('server.pem'), key: tlsFile('server.key') };
  const trusting = await startGateway({
    tls: { ...certificates, ca: tlsFile('ca.pem'), login_from: 'common_name' },
    listeners: [{ protocol: 'xmpp', port: 0, tls: true }],
  });
  const client = await connectSecure(trusting.port('xmpp'), {
    ca: testAuthority(),
    cert: readFileSync(tlsFile('client.pem')),
    key: readFileSync(tlsFile('client.key')),
  });
  client.send(HEADER);
  await client.readUntil(until('<mechanism>EXTERNAL</mechanism>'));
  client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  await client.readUntil(until('<success'));
  client.send(HEADER);
  client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  await client.readUntil(until('<jid>alice@localhost/'));
  client.destroy();
  await trusting.stop();
});
