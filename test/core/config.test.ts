import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Adapter } from '../../adapters/adapter.ts';
import { amqp } from '../../adapters/amqp091/adapter.ts';
import { mqtt } from '../../adapters/mqtt/adapter.ts';
import { stomp } from '../../adapters/stomp/adapter.ts';
import { xmpp } from '../../adapters/xmpp/adapter.ts';
import { type ConfigFile, parseConfig, readConfigFile } from '../../core/config.ts';
import { ConfigError } from '../../core/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): string {
  const path = join(folder, 'config.yaml');
  writeFileSync(path, text);
  return path;
}

/** Where a mistake is said to be. */
function mistake(raw: ConfigFile): string {
  try {
    parseConfig(raw);
    return 'none';
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message.startsWith(`${error.path}: `)).toBe(true);
    return error.path;
  }
}

const ALL = { configure: '.*', write: '.*', read: '.*' };

const POLICY = { name: 'p', pattern: '', definition: { 'max-length': 1 } };

describe('the configuration', () => {
  it('has limits of vhosts and users, where they are said', () => {
    const { vhostLimits, users } = parseConfig({
      vhost_limits: { '/': { max_connections: 5 } },
      users: [{ name: 'a', password: 'x', max_connections: 2, max_channels: 3 }],
    });
    expect(vhostLimits).toEqual({ '/': { connectionsMax: 5, queuesMax: undefined } });
    expect(users[0]).toMatchObject({ connectionsMax: 2, channelsMax: 3 });
  });

  it('has policies of users and of operators', () => {
    const given = { name: 'a', pattern: '^a', definition: { 'max-length': 1 } };
    const bounds = { ...given, vhost: 'b', apply_to: 'queues', priority: 2 };
    const { policies } = parseConfig({
      vhosts: ['/', 'b'],
      policies: [given],
      operator_policies: [bounds],
    });
    const { apply_to: applyTo, ...rest } = bounds;
    expect(policies).toEqual([
      { ...given, kind: 'user', vhost: '/', applyTo: 'all', priority: 0 },
      { ...rest, kind: 'operator', applyTo },
    ]);
  });

  it('of the example file is the default', () => {
    const example = new URL('../../config.example.yaml', import.meta.url).pathname;
    const { sections, ...rest } = parseConfig(readConfigFile(example, {}));
    const { sections: _none, ...defaults } = parseConfig({});
    // Users that stand in a file are that file's.
    const users = defaults.users.map((user) => ({ ...user, byDefault: false }));
    expect(rest).toEqual({ ...defaults, users });
    for (const adapter of [amqp, mqtt, stomp, xmpp] as readonly Adapter<unknown>[]) {
      const name = adapter.protocols[0] ?? '';
      expect(adapter.options(sections[name])).toEqual(adapter.options(undefined));
    }
  });

  it.each([
    [{ listeners: [{ protocol: 'amqp', port: 70_000 }] }, 'listeners[0].port'],
    [{ listeners: [{ protocol: 'amqp', port: 1 }, { protocol: 'mqtt' }] }, 'listeners[1].port'],
    [{ listeners: [{ protocol: 'stomp', port: 1, dialect: 'x' }] }, 'listeners[0].dialect'],
    [{ listeners: [{ protocol: 'amqp', port: 1, tls: true }] }, 'listeners[0].tls'],
    [{ listeners: [] }, 'listeners'],
    [{ store: 'paper' }, 'store'],
    [{ log_level: 'loud' }, 'log_level'],
    [{ data_dir: '' }, 'data_dir'],
    [{ vhosts: [] }, 'vhosts'],
    [{ vhost_limits: { b: { max_queues: 1 } } }, 'vhost_limits.b'],
    [{ vhost_limits: { '/': { max_queues: -1 } } }, 'vhost_limits./.max_queues'],
    [{ users: [{ name: 'a', password: 'x', max_channels: 1.5 }] }, 'users[0].max_channels'],
    [{ tls: { cert: 'c', key: 'k', login_from: 'common_name' } }, 'tls'],
    [{ mqtt: { vhost: 'nowhere' } }, 'mqtt.vhost'],
    [{ vhosts: ['a'] }, 'mqtt.vhost'],
    [{ users: [{ name: 'a', password: 'x', permissions: { b: ALL } }] }, 'users[0].permissions.b'],
    [{ vhosts: ['/', 'a', '/'] }, 'vhosts[2]'],
    [{ users: [{ name: 'a' }] }, 'users[0]'],
    [{ users: [{ name: 'a', password: 'x', password_hash: 'y' }] }, 'users[0].password_hash'],
    [{ users: [{ name: '', password: 'x' }] }, 'users[0].name'],
    [
      { users: [{ name: 'a', password: 'x', permissions: { '/': { ...ALL, read: '(' } } }] },
      'users[0].permissions./.read',
    ],
    [{ users: [1, 2].map(() => ({ name: 'a', password: 'x' })) }, 'users[1]'],
    [{ limits: { connections_max: -1 } }, 'limits.connections_max'],
    [{ limits: { unheard_of: 1 } }, 'limits.unheard_of'],
    [{ loopback_users: 'guest' }, 'loopback_users'],
    [{ tls: { cert: 'x' } }, 'tls.key'],
    [{ policies: [{ ...POLICY, vhost: 'b' }] }, 'policies[0].vhost'],
    [{ policies: [{ ...POLICY, apply_to: 'all of them' }] }, 'policies[0].apply_to'],
    [{ operator_policies: [POLICY, POLICY] }, 'operator_policies[1]'],
  ] as const)('%j is refused at %s', (raw, path) => {
    expect(mistake(raw)).toBe(path);
  });

  it('is refused with keys that mean nothing', () => {
    expect(() => parseConfig({ listeners: [] })).toThrow('listeners');
    expect(() => parseConfig({ listeners: [{ protocol: 'amqp', prot: 1, port: 1 }] })).toThrow(
      'prot',
    );
  });

  it('overrides limits by their names in the file', () => {
    const { limits } = parseConfig({ limits: { login_timeout_ms: 5, memory_high_bytes: 0 } });
    expect(limits.loginTimeoutMs).toBe(5);
    expect(limits.memoryHighBytes).toBeGreaterThan(1024 * 1024);
  });

  it('takes environment variables into any text, and says which is missing where', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the file has its own placeholders
    const path = fileOf('users: [{ name: a, password: "pre-${SECRET}-${SECRET}" }]');
    const { users } = parseConfig(readConfigFile(path, { SECRET: 's3' }));
    expect(users[0]?.password).toBe('pre-s3-s3');
    expect(() => readConfigFile(path, {})).toThrow(
      'users[0].password: environment variable SECRET is not set',
    );
  });

  it('of a file that cannot be read or is no mapping is refused with its name', () => {
    expect(() => readConfigFile(join(folder, 'nowhere.yaml'), {})).toThrow('cannot read');
    expect(() => readConfigFile(fileOf('a: [1'), {})).toThrow(ConfigError);
    expect(() => readConfigFile(fileOf('- 1'), {})).toThrow('expected a mapping');
    expect(readConfigFile(fileOf(''), {})).toEqual({});
    expect(readConfigFile(null, {})).toEqual({});
  });
});
