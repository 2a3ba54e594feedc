/** Debian's Prosody in a process of its own, with the accounts that the plays need. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, listening } from '../../../support/free-port.ts';

const PROSODY = '/usr/bin/prosody';

export interface Prosody {
  readonly clients: number;
  readonly components: number;
  stop(): Promise<void>;
  /**
   * Ends it, in order or like a crash, and starts it again on the same ports, with what it had
   * stored.
   */
  restart(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export const prosodyInstalled = existsSync(PROSODY);

/** Resolves when it takes connections. */
export async function startProsody(users: readonly string[]): Promise<Prosody> {
  const directory = mkdtempSync(join(tmpdir(), 'rosettamq-prosody-'));
  const accounts = join(directory, 'data', 'localhost', 'accounts');
  mkdirSync(accounts, { recursive: true });
  for (const user of users) {
    writeFileSync(join(accounts, `${user}.dat`), 'return { ["password"] = "secret"; };\n');
  }
  const [clients, components] = [await freePort(), await freePort()];
  const config = join(directory, 'prosody.cfg.lua');
  writeFileSync(config, configuration(directory, clients, components));
  let ended = launch(config, directory);
  await listening(clients);
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    ended.kill(signal);
    await ended.done;
  };
  return {
    clients,
    components,
    stop: async () => {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    },
    restart: async (signal) => {
      await stop(signal);
      ended = launch(config, directory);
      await listening(clients);
    },
  };
}

function launch(
  config: string,
  directory: string,
): { readonly done: Promise<unknown>; kill(signal: NodeJS.Signals): void } {
  const child = spawn(PROSODY, ['--config', config, '-F'], {
    cwd: directory,
    stdio: 'ignore',
    env: { ...process.env, HOME: directory },
  });
  const done = new Promise((resolve) => child.once('exit', resolve));
  return { done, kill: (signal) => child.kill(signal) };
}

function configuration(directory: string, clients: number, components: number): string {
  return `
data_path = "${directory}/data"
pidfile = "${directory}/prosody.pid"
run_as_root = true
log = { warn = "${directory}/log" }
interfaces = { "127.0.0.1" }
c2s_ports = { ${clients} }
c2s_direct_tls_ports = { }
s2s_ports = { }
component_ports = { ${components} }
http_ports = { }
https_ports = { }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
modules_enabled = {
  "roster", "saslauth", "disco", "private", "blocklist", "vcard_legacy", "pep", "version",
  "uptime", "time", "ping", "carbons", "smacks", "mam", "csi", "offline", "lastactivity",
  "limits",
}
modules_disabled = { "s2s", "tls", "http", "posix", "limits" }
default_archive_policy = true
archive_expires_after = "never"
VirtualHost "localhost"
Component "rooms.localhost" "muc"
  modules_enabled = { "muc_mam" }
  muc_room_locking = false
  muc_room_default_public = true
Component "pubsub.localhost" "pubsub"
  autocreate_on_publish = true
  autocreate_on_subscribe = true
Component "comp.localhost"
  component_secret = "shared"
Component "link.localhost"
  component_secret = "shared"
`;
}
