/** A command-line client over STARTTLS, as scripts use it to raise alarms. */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { tlsFile } from '../../support/tls.ts';

const CLIENT = '/usr/bin/go-sendxmpp';
const installed = existsSync(CLIENT);
if (!installed) console.warn('SKIPPED: go-sendxmpp is not installed');

describe.skipIf(!installed)('go-sendxmpp', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      tls: { cert: tlsFile('server.pem'), key: tlsFile('server.key') },
    });
  });
  afterAll(() => gateway.stop());

  const login = (user: string): string[] => [
    ...['-n', '-u', `${user}@localhost`, '-p', 'secret'],
    ...['-j', `127.0.0.1:${gateway.port('xmpp')}`],
  ];

  /** Resolves when the message was sent. */
  function send(user: string, to: string, body: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        CLIENT,
        [...login(user), to],
        { timeout: 20_000 },
        (error, _, stderr) => (error === null ? resolve() : reject(new Error(stderr))),
      );
      child.stdin?.end(body);
    });
  }

  test('what one sends, another that listens prints', async () => {
    await send('alice', 'bob@localhost', 'the pump is hot');
    const listener = spawn(CLIENT, [...login('bob'), '-l'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const lines = createInterface(listener.stdout);
    const [line] = await new Promise<string[]>((resolve) => {
      lines.on('line', (text) => {
        if (text.includes('pump')) resolve([text]);
      });
    });
    listener.kill();
    expect(line).toContain('alice@localhost');
    expect(line).toContain('the pump is hot');
  }, 30_000);
});
