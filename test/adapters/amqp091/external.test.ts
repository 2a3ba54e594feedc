/** Logins without a password: by the client's TLS certificate, and as nobody. */
import { readFileSync } from 'node:fs';
import amqplib, { type ChannelModel } from 'amqplib';
import { afterEach, expect, test } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { testAuthority, tlsFile } from '../../support/tls.ts';
import { encodeLine } from './notation.ts';
import { Stage } from './script.ts';

const SERVER = { cert: tlsFile('server.pem'), key: tlsFile('server.key') };
const ALL = { '/': { configure: '.*', write: '.*', read: '.*' } };
const DN = 'CN=meter 7,OU=Devices,O=Example\\, Inc.,C=DE';
const USERS = ['guest', 'alice', 'bob@example.org', 'urn:device:7', '10.0.0.7', DN].map((name) => ({
  name,
  password: 'secret',
  permissions: ALL,
}));

let gateway: Gateway | null = null;
const connections: ChannelModel[] = [];

async function secure(tls: Record<string, unknown>): Promise<void> {
  const listeners = [{ protocol: 'amqp', port: 0, tls: true }];
  gateway = await startGateway({ listeners, users: USERS, xmpp: {}, tls: { ...SERVER, ...tls } });
}

/** Logs in with SASL EXTERNAL over TLS, with one of the certificates. */
async function login(certificate: string | null, external = true): Promise<ChannelModel> {
  const files =
    certificate === null
      ? {}
      : {
          cert: readFileSync(tlsFile(`${certificate}.pem`)),
          key: readFileSync(tlsFile(`${certificate}.key`)),
        };
  const credentials = external
    ? amqplib.credentials.external()
    : amqplib.credentials.plain('alice', 'secret');
  const url = `amqps://localhost:${gateway?.port('amqp')}`;
  const connection = await amqplib.connect(url, { credentials, ca: [testAuthority()], ...files });
  connections.push(connection);
  connection.on('error', () => {});
  return connection;
}

/** Who the connection's user is: the only one that it may write into a message. */
async function isUser(connection: ChannelModel, name: string): Promise<void> {
  const channel = await connection.createConfirmChannel();
  channel.publish('', 'nowhere', Buffer.from('x'), { userId: name });
  await channel.waitForConfirms();
}

afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close().catch(() => {});
  await gateway?.stop();
  gateway = null;
});

test('the common name of a certificate is a user', async () => {
  await secure({ ca: tlsFile('ca.pem'), login_from: 'common_name' });
  await isUser(await login('client'), 'alice');
});

test.each([
  ['distinguished_name', {}, DN],
  ['subject_alternative_name', {}, null],
  ['subject_alternative_name', { login_san_index: 1 }, 'alice'],
  ['subject_alternative_name', { login_san_type: 'email' }, 'bob@example.org'],
  ['subject_alternative_name', { login_san_type: 'uri' }, 'urn:device:7'],
  ['subject_alternative_name', { login_san_type: 'ip' }, '10.0.0.7'],
  ['subject_alternative_name', { login_san_index: 9 }, null],
])('a user by %s %o', async (from, options, user) => {
  await secure({ ca: tlsFile('named-ca.pem'), login_from: from, ...options });
  const connecting = login('named');
  if (user === null) await expect(connecting).rejects.toThrow();
  else await isUser(await connecting, user);
});

test('without a mapping a certificate logs nobody in, but a password does', async () => {
  await secure({ ca: tlsFile('ca.pem') });
  await expect(login('client')).rejects.toThrow('EXTERNAL');
  await isUser(await login('client', false), 'alice');
});

test('where certificates are optional, those without one log in by password', async () => {
  const ca = tlsFile('ca.pem');
  await secure({ ca, login_from: 'common_name', client_certificate: 'optional' });
  await isUser(await login('client'), 'alice');
  await isUser(await login(null, false), 'alice');
  await expect(login(null)).rejects.toThrow('EXTERNAL');
  // Of another authority: as good as forged.
  await expect(login('named', false)).rejects.toThrow();
});

test('a mapping needs an authority', () => {
  const tls = { ...SERVER, login_from: 'common_name' };
  expect(() => new Gateway({ tls })).toThrow(ConfigError);
});

test('anonymous clients come in as a user where that is allowed', () => {
  const line = '0 connection.start-ok mechanism=ANONYMOUS response=me@example.org locale=en_US';
  const open = new Stage({}, { anonymousUser: 'alice' }).client();
  open.say(encodeLine('header'));
  expect(open.transport.sent().toString('latin1')).toContain('PLAIN AMQPLAIN ANONYMOUS');
  expect(open.ask(encodeLine(line))).toEqual(['0 connection.tune 2047 131072 60']);
  const shut = new Stage().client();
  shut.ask(encodeLine('header'));
  expect(shut.ask(encodeLine(line))).toEqual([
    "0 connection.close 503 COMMAND_INVALID - unknown authentication mechanism 'ANONYMOUS' (10, 11)",
  ]);
});

test('who is let in anonymously must exist', () => {
  const client = new Stage({}, { anonymousUser: 'nobody' }).client();
  client.ask(encodeLine('header'));
  const capabilities = 'client-properties={"capabilities":{"authentication_failure_close":true}}';
  const told = client.ask(encodeLine(`0 connection.start-ok mechanism=ANONYMOUS ${capabilities}`));
  expect(told[0]).toContain('403 ACCESS_REFUSED');
});
