/** What administrators set up is there after a kill, and a definitions file is read at each start. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportCommand, importCommand } from '../../core/definitions-command.ts';
import { apiOf } from '../support/api-client.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.ts';

const RABBITMQ = new URL('../core/fixtures/rabbitmq-3.10.json', import.meta.url).pathname;
const ALL = { configure: '.*', write: '.*', read: '.*' };

let directory: string;
let gateway: GatewayProcess | null = null;

async function start(overrides = {}): Promise<GatewayProcess> {
  gateway = await startGatewayProcess(join(directory, 'data'), overrides);
  return gateway;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-definitions-'));
});
afterEach(async () => {
  await gateway?.kill();
  rmSync(directory, { recursive: true });
});

const urlOf = (of: GatewayProcess): string => `http://guest:guest@127.0.0.1:${of.port('http')}`;

describe('a kill right after the answer', () => {
  it('loses nothing of what was answered', async () => {
    const first = await start();
    const ask = apiOf(first.port('http'));
    await ask('PUT', '/vhosts/shop', { description: 'Orders' });
    await ask('PUT', '/users/eve', { password: 'pw', tags: 'administrator' });
    await ask('PUT', '/permissions/shop/eve', ALL);
    await ask('PUT', '/vhost-limits/shop/max-queues', { value: 7 });
    await ask('PUT', '/queues/shop/q', { durable: true });
    await ask('PUT', '/policies/shop/p', { pattern: '^q', definition: { 'max-length': 3 } });
    expect((await ask('DELETE', '/users/guest')).status).toBe(204);
    await first.kill();

    const second = await start();
    expect((await ask('GET', '/whoami').catch(() => null))?.status ?? 401).toBe(401);
    const asEve = apiOf(second.port('http'), 'eve', 'pw');
    expect((await asEve('GET', '/vhosts/shop')).body).toMatchObject({ description: 'Orders' });
    expect((await asEve('GET', '/queues/shop/q')).body).toMatchObject({ policy: 'p' });
    expect((await asEve('GET', '/vhost-limits/shop')).body).toMatchObject([
      { value: { 'max-queues': 7 } },
    ]);
    expect((await apiOf(second.port('http'))('GET', '/whoami')).status).toBe(401);
    expect((await asEve('DELETE', '/vhosts/shop')).status).toBe(204);
    await second.kill();

    const third = apiOf((await start()).port('http'), 'eve', 'pw');
    expect((await third('GET', '/vhosts?columns=name')).body).toEqual([{ name: '/' }]);
  });
});

describe('a definitions file', () => {
  it('is read at each start, and brings its own users', async () => {
    for (const round of [1, 2]) {
      const running = await start({ definitions: RABBITMQ });
      const url = `amqp://ada:p@127.0.0.1:${running.port('amqp')}/shop`;
      const connection = await connect(url, { noDelay: true });
      const channel = await connection.createConfirmChannel();
      expect(await channel.checkQueue('q1')).toMatchObject({ messageCount: round - 1 });
      channel.sendToQueue('q1', Buffer.from('kept'), { persistent: true });
      await channel.waitForConfirms();
      await connection.close();
      expect(await running.stop()).toBe(0);
    }
  });

  it('that cannot be imported keeps the gateway from starting, and says all that is wrong', async () => {
    const file = join(directory, 'wrong.json');
    const queues = [
      { name: 'q', vhost: 'none' },
      { name: 5, vhost: '/' },
    ];
    writeFileSync(file, JSON.stringify({ queues }));
    const failure = await start({ definitions: file }).then(String, String);
    expect(failure).toContain('exited with 2');
    expect(failure).toContain("queues[0]: there is no vhost 'none'");
    expect(failure).toContain('queues[1].name: expected a string');
    writeFileSync(file, '{');
    expect(await start({ definitions: file }).then(String, String)).toContain('is not JSON');
  });
});

describe('the commands', () => {
  it('export from one gateway and import into another', async () => {
    const url = urlOf(await start());
    const file = join(directory, 'out.json');
    const base = { url, vhost: undefined };
    expect(await importCommand({ ...base, words: [RABBITMQ] })).toContain('is imported into');
    expect(await exportCommand({ ...base, words: [file] })).toContain(`are in ${file}`);
    const document = JSON.parse(readFileSync(file, 'utf8')) as { queues: unknown[] };
    expect(document.queues.length).toBe(3);
    expect(JSON.parse(await exportCommand({ ...base, words: [] }))).toEqual(document);
    const inVhost = await exportCommand({ ...base, vhost: 'shop', words: [] });
    expect(JSON.parse(inVhost)).not.toHaveProperty('users');
    writeFileSync(file, JSON.stringify({ queues: [{ name: 'q', vhost: 'none' }] }));
    await expect(importCommand({ ...base, words: [file] })).rejects.toThrow(
      "queues[0]: there is no vhost 'none'",
    );
    await expect(importCommand({ ...base, words: [] })).rejects.toThrow('expected FILE');
    const wrong = url.replace('guest:guest', 'guest:wrong');
    await expect(exportCommand({ ...base, url: wrong, words: [] })).rejects.toThrow(
      'wants an administrator',
    );
  });
});
