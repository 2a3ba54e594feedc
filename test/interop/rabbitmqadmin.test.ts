/** RabbitMQ's own command line for its HTTP API, unchanged: `rabbitmqadmin` as Debian ships it. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../main.ts';
import { startGateway } from '../support/gateway.ts';

const run = promisify(execFile);
const PYTHON = '/usr/bin/python3';
const SCRIPT = process.env['RABBITMQADMIN'] ?? '/usr/bin/rabbitmqadmin';

const missing = existsSync(SCRIPT) ? null : `${SCRIPT} is not there (rabbitmq-server)`;
if (missing !== null) console.warn(`SKIPPED: rabbitmqadmin: ${missing}`);

describe.skipIf(missing !== null)('rabbitmqadmin', () => {
  const directory = mkdtempSync(join(tmpdir(), 'rosettamq-admin-'));
  let gateway: Gateway;

  beforeAll(async () => {
    gateway = await startGateway();
  });
  afterAll(async () => {
    await gateway.stop();
    rmSync(directory, { recursive: true });
  });

  async function admin(...args: string[]): Promise<string> {
    const where = ['-H', '127.0.0.1', '-P', String(gateway.port('http')), '-f', 'tsv', '-q'];
    const { stdout } = await run(PYTHON, [SCRIPT, ...where, ...args]);
    return stdout.trim();
  }

  it('sets up a vhost, a user, a topology and a policy, and sees them', async () => {
    await admin('declare', 'vhost', 'name=shop');
    await admin('declare', 'user', 'name=eve', 'password=pw', 'tags=monitoring');
    const rights = ['configure=.*', 'write=.*', 'read=.*'];
    await admin('declare', 'permission', 'vhost=shop', 'user=eve', ...rights);
    const limited = 'arguments={"x-max-length":3}';
    await admin('-V', 'shop', 'declare', 'queue', 'name=q', 'durable=true', limited);
    await admin('-V', 'shop', 'declare', 'exchange', 'name=e', 'type=topic');
    await admin('-V', 'shop', 'declare', 'binding', 'source=e', 'destination=q', 'routing_key=a.#');
    const definition = 'definition={"message-ttl":60000}';
    await admin('-V', 'shop', 'declare', 'policy', 'name=p', 'pattern=^q', definition);
    expect(await admin('list', 'queues', 'vhost', 'name', 'policy')).toBe('shop\tq\tp');
    expect(await admin('-V', 'shop', 'list', 'bindings', 'source', 'routing_key')).toContain(
      'e\ta.#',
    );
    expect(await admin('list', 'users', 'name', 'tags')).toContain('eve\tmonitoring');
    expect(await admin('show', 'overview', 'rabbitmq_version')).toBe('3.10.8');
  });

  it('publishes, gets and purges', async () => {
    const properties = 'properties={"delivery_mode":2}';
    const message = ['exchange=e', 'routing_key=a.b', 'payload=hello', properties];
    await admin('-V', 'shop', 'publish', ...message);
    expect(await admin('-V', 'shop', 'get', 'queue=q')).toContain('hello');
    expect(await admin('-V', 'shop', 'list', 'queues', 'messages')).toBe('1');
    await admin('-V', 'shop', 'purge', 'queue', 'name=q');
    expect(await admin('-V', 'shop', 'list', 'queues', 'messages')).toBe('0');
  });

  it('exports definitions, and imports them again', async () => {
    const file = join(directory, 'definitions.json');
    await admin('export', file);
    const document = JSON.parse(readFileSync(file, 'utf8')) as { queues: { name: string }[] };
    expect(document.queues.map(({ name }) => name)).toEqual(['q']);
    await admin('delete', 'vhost', 'name=shop');
    await admin('import', file);
    expect(await admin('list', 'queues', 'vhost', 'name', 'policy')).toBe('shop\tq\tp');
  });

  it('deletes all of it', async () => {
    const ends = ['source=e', 'destination_type=queue', 'destination=q'];
    await admin('-V', 'shop', 'delete', 'binding', ...ends, 'properties_key=a.%23');
    await admin('-V', 'shop', 'delete', 'policy', 'name=p');
    await admin('-V', 'shop', 'delete', 'exchange', 'name=e');
    await admin('-V', 'shop', 'delete', 'queue', 'name=q');
    await admin('delete', 'user', 'name=eve');
    await admin('delete', 'vhost', 'name=shop');
    expect(await admin('list', 'vhosts', 'name')).toBe('/');
    await expect(admin('delete', 'vhost', 'name=shop')).rejects.toThrow('Not found');
  });
});
