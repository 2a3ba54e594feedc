/** A page in a real browser speaks AMQP over WebSocket, from an origin that is not the gateway's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startGateway } from '../../support/gateway.ts';
import { works } from './commands.ts';

const BROWSER = 'chromium';
/** Browsers take their time to start. */
const WORK_MS = 90_000;
const CLIENT = new URL(
  '../../../node_modules/@cloudamqp/amqp-client/dist/amqp-websocket-client.mjs',
  import.meta.url,
);

const page = (gateway: string): string => `<script type="module">
import { AMQPWebSocketClient } from '/client.mjs';
const said = {};
try {
  const client = new AMQPWebSocketClient('${gateway}', '/', 'guest', 'guest');
  const connection = await client.connect();
  const channel = await connection.channel();
  await channel.confirmSelect();
  const queue = await channel.queueDeclare('', { exclusive: true });
  said.tags = [
    await channel.basicPublish('', queue.name, 'from a page', { headers: { n: 1 } }),
    await channel.basicPublish('', queue.name, new Uint8Array(300_000)),
  ];
  said.got = [];
  await new Promise((resolve) => {
    channel.basicConsume(queue.name, { noAck: false }, async (message) => {
      said.got.push([message.bodySize, message.properties.headers ?? null]);
      await message.ack();
      if (said.got.length === 2) resolve();
    });
  });
  await connection.close();
} catch (error) {
  said.error = String(error);
}
await fetch('/said', { method: 'POST', body: JSON.stringify(said) });
</script>`;

/** Serves the page and the client library, and resolves to what the page says of itself. */
class Site {
  readonly #server: Server;
  readonly #page: string;
  readonly said: Promise<unknown>;
  #say: (said: unknown) => void = () => {};

  constructor(content: string) {
    this.#page = content;
    this.said = new Promise((resolve) => {
      this.#say = resolve;
    });
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      response.end();
      this.#say(JSON.parse(Buffer.concat(chunks).toString()));
      return;
    }
    const module = request.url === '/client.mjs';
    response.setHeader('content-type', module ? 'text/javascript' : 'text/html');
    response.end(module ? readFileSync(CLIENT) : this.#page);
  }
}

test.skipIf(!works(BROWSER, '--version'))(
  'a page in Chromium publishes with confirms and consumes',
  async () => {
    const gateway = await startGateway();
    const site = new Site(page(`ws://127.0.0.1:${gateway.port('http')}/ws/amqp`));
    const profile = mkdtempSync(join(tmpdir(), 'rosettamq-browser-'));
    const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];
    const browser = spawn(
      BROWSER,
      [...options, `--user-data-dir=${profile}`, await site.open()],
      // A group of its own, which ends as a whole.
      { stdio: 'ignore', detached: true },
    );
    const ended = once(browser, 'exit');
    try {
      const left = ended.then(() => 'the browser ended');
      expect(await Promise.race([site.said, left])).toEqual({
        tags: [1, 2],
        got: [
          [11, { n: 1 }],
          [300_000, null],
        ],
      });
    } finally {
      const running = browser.exitCode === null && browser.pid !== undefined;
      if (running) process.kill(-browser.pid, 'SIGKILL');
      await ended;
      site.close();
      await gateway.stop();
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    }
  },
  WORK_MS,
);
