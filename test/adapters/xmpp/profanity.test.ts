/** Debian's profanity, typed at in a terminal of its own (tmux). */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { connect, type RawClient } from '../../support/raw-client.ts';
import { HEADER, plain } from './pipe-client.ts';

const installed = ['profanity', 'tmux'].every((name) => spawnSync('which', [name]).status === 0);
if (!installed) console.warn('SKIPPED: profanity or tmux is not installed');

/** A terminal that profanity runs in. */
class Terminal {
  readonly #socket: string;

  constructor(folder: string, command: string) {
    this.#socket = join(folder, 'tmux');
    const environment = { XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder, HOME: folder };
    this.#tmux(
      ...['-f', '/dev/null', 'new-session', '-d', '-x', '120', '-y', '40'],
      ...Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
      command,
    );
  }

  type(line: string): void {
    this.#tmux('send-keys', '-l', line);
    this.#tmux('send-keys', 'Enter');
  }

  /** Until it shows that; looking is what takes the time. */
  shows(text: string): string {
    for (;;) {
      const screen = this.#tmux('capture-pane', '-p');
      if (screen.includes(text)) return screen;
    }
  }

  /** It may have ended already, with profanity. */
  end(): void {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server']);
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8' });
  }
}

/** Bob, by hand. */
async function bobOnline(port: number): Promise<RawClient> {
  const bob = await connect(port);
  bob.send(HEADER);
  await bob.readText('</stream:features>');
  bob.send(
    `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain('bob', 'secret')}</auth>`,
  );
  await bob.readText('<success');
  bob.send(HEADER);
  bob.send(
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>b</resource></bind></iq><presence/>",
  );
  await bob.readText('bob@localhost/b</jid>');
  return bob;
}

describe.skipIf(!installed)('profanity', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rosettamq-profanity-'));
  let gateway: Gateway;
  let terminal: Terminal | null = null;

  beforeAll(async () => {
    gateway = await startGateway();
    mkdirSync(join(folder, 'profanity'));
    const account = {
      enabled: 'true',
      jid: 'alice@localhost',
      server: '127.0.0.1',
      port: gateway.port('xmpp'),
      resource: 'prof',
      password: 'secret',
      'tls.policy': 'disable',
    };
    const lines = Object.entries(account).map(([name, value]) => `${name}=${value}`);
    writeFileSync(
      join(folder, 'profanity', 'accounts'),
      `[alice@localhost]\n${lines.join('\n')}\n`,
    );
  });

  afterAll(async () => {
    terminal?.end();
    await gateway.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('logs in, chats, and meets somebody in a room', async () => {
    const bob = await bobOnline(gateway.port('xmpp'));
    bob.send("<presence to='tea@rooms.localhost/bo'/>");
    await bob.readText('code="110"');
    terminal = new Terminal(folder, 'profanity -a alice@localhost');
    for (let asked = 0; ; asked++) {
      const ping = `<iq type='get' id='p${asked}' to='alice@localhost/prof'><ping xmlns='urn:xmpp:ping'/></iq>`;
      bob.send(ping);
      const answer = await bob.readUntil((bytes) => bytes.includes(`id="p${asked}"`));
      bob.consume(answer.length);
      if (/<iq[^>]*type="result"/.test(answer.toString())) break;
    }
    terminal.type('/msg bob@localhost hello from the terminal');
    await bob.readText('<body>hello from the terminal</body>');
    bob.send("<message to='alice@localhost' type='chat' id='m'><body>hi yourself</body></message>");
    // The gateway is in this process: looking at the screen would hold it up.
    bob.send(
      "<iq type='get' id='sync' to='alice@localhost/prof'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    await bob.readText('id="sync"');
    expect(terminal.shows('hi yourself')).toContain('hello from the terminal');
    terminal.type('/join tea@rooms.localhost nick al');
    await bob.readText('from="tea@rooms.localhost/al"');
    terminal.type('hi all');
    await bob.readText('<body>hi all</body>');
    terminal.type('/quit');
    await bob.readText('type="unavailable"');
    bob.destroy();
  }, 60_000);
});
