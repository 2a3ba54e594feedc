/**
 * Conversations with RabbitMQ 3.10, and how this broker answers the same client. In
 * `transcripts/*.txt`:
 *
 *     == what it shows
 *     # why an answer differs
 *     > B 1 queue.declare queue=q        client B sends; without a letter it is client A
 *     + B 1 basic.get queue=q            together with the line before
 *     < B 1 queue.declare-ok q 0 0       RabbitMQ's answer
 *     ! B 1 …                            ours, where it is another; a bare `!` is none
 *
 * `> wait 50` lets that many milliseconds go by, `> B drop` cuts the connection. A client is logged
 * in when it first says something, unless that is `header`, `login` or `greeting` and its bytes.
 *
 * `RECORD=5672 npx vitest run … transcripts.test.ts` writes the answers of the RabbitMQ on that port
 * into the files, `RECORD=ours` ours where they differ: the change is then read like any other.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { connect, type RawClient } from '../../support/raw-client.ts';
import { describeProperties, encodeLine } from './notation.ts';
import { type Actor, readFrames, Stage } from './script.ts';

const FOLDER = new URL('./transcripts/', import.meta.url);
const RECORD = process.env['RECORD'] ?? '';
/** Without a byte for so long a server has said everything, in milliseconds. */
const QUIET_MS = 60;

interface Step {
  /** What is said, with the comments before it. */
  readonly says: string[];
  readonly rabbitmq: string[];
  readonly ours: string[];
}

interface Conversation {
  readonly name: string;
  readonly steps: Step[];
}

/** The server's side of a conversation. */
interface Server {
  say(client: string, line: string): void;
  wait(ms: number): Promise<void>;
  drop(client: string): void;
  /** Lines since the last call, with the client's letter unless that is A. */
  hear(): Promise<string[]>;
  end(conversation: Conversation): Promise<void>;
}

class OurServer implements Server {
  readonly #stage = new Stage();
  readonly #clients = new Map<string, Actor>();
  readonly #told = new Set<string>();

  say(client: string, line: string): void {
    let actor = this.#clients.get(client);
    if (actor === undefined) {
      actor = this.#stage.client();
      this.#clients.set(client, actor);
      if (!opens(line)) actor.ask(encodeLine('login'));
    }
    actor.say(encodeLine(line));
  }

  wait(ms: number): Promise<void> {
    this.#stage.world.clock.advance(ms);
    return Promise.resolve();
  }

  drop(client: string): void {
    this.#clients.get(client)?.connection.closed(null);
    this.#clients.delete(client);
  }

  async hear(): Promise<string[]> {
    const heard: string[] = [];
    for (const [client, actor] of [...this.#clients].sort()) {
      await actor.settle();
      const lines = tidied(actor.transport.sent());
      if (actor.transport.ended !== null && !this.#told.has(client)) {
        this.#told.add(client);
        lines.push('end');
      }
      heard.push(...lettered(client, lines));
    }
    return heard;
  }

  end(): Promise<void> {
    for (const client of this.#clients.keys()) this.drop(client);
    return Promise.resolve();
  }
}

class RabbitMq implements Server {
  readonly #clients = new Map<string, RawClient>();
  readonly #gone = new Set<RawClient>();
  #sending: Promise<void> = Promise.resolve();

  say(client: string, line: string): void {
    this.#sending = this.#sending.then(async () => {
      let socket = this.#clients.get(client);
      if (socket === undefined) {
        socket = await connect(Number(RECORD));
        this.#clients.set(client, socket);
        if (!opens(line)) {
          socket.send(encodeLine('login'));
          const opened = Buffer.from([0, 20, 0, 11]);
          const login = await socket.readUntil((bytes) => bytes.includes(opened));
          socket.consume(login.length);
        }
      }
      socket.send(encodeLine(line));
    });
  }

  async wait(ms: number): Promise<void> {
    await this.#sending;
    await new Promise((wake) => setTimeout(wake, ms));
  }

  drop(client: string): void {
    this.#clients.get(client)?.destroy();
    this.#clients.delete(client);
  }

  async hear(): Promise<string[]> {
    await this.#sending;
    for (let before = -1, quiet = 0; quiet < 2; quiet++) {
      await new Promise((wake) => setTimeout(wake, QUIET_MS));
      const now = [...this.#clients.values()].reduce((sum, each) => sum + each.receivedBytes, 0);
      if (now !== before) quiet = 0;
      before = now;
    }
    const heard: string[] = [];
    for (const [client, socket] of [...this.#clients].sort()) {
      const bytes = socket.received;
      socket.consume(bytes.length);
      const lines = tidied(bytes);
      if (!this.#gone.has(socket) && (socket.socket.readableEnded || socket.socket.destroyed)) {
        this.#gone.add(socket);
        lines.push('end');
      }
      heard.push(...lettered(client, lines));
    }
    return heard;
  }

  /** Takes away what the conversation made. */
  async end(conversation: Conversation): Promise<void> {
    for (const socket of this.#clients.values()) socket.destroy();
    this.#clients.clear();
    const said = conversation.steps.flatMap((step) => step.says).join('\n');
    for (const [, name] of said.matchAll(/queue\.declare queue=(\S+)/g)) {
      this.say(`q${name}`, `1 queue.delete queue=${name}`);
    }
    for (const [, name] of said.matchAll(/exchange\.declare exchange=(\S+)/g)) {
      this.say(`x${name}`, `1 exchange.delete exchange=${name}`);
    }
    await this.hear();
    for (const socket of this.#clients.values()) socket.destroy();
  }
}

/** A line after which nobody is logged in for the client. */
function opens(line: string): boolean {
  return /^(header|login|greeting)/.test(line);
}

function lettered(client: string, lines: readonly string[]): string[] {
  return client === 'A' ? [...lines] : lines.map((line) => `${client} ${line}`);
}

/**
 * What a server said, without what is drawn by lot, what means nothing (flags of a nack that goes to
 * a publisher), and what only later RabbitMQs add. Channels have no order among them.
 */
function tidied(bytes: Buffer): string[] {
  const lines = readFrames(bytes).map((line) => {
    const found = /^(\d+) content (\d+) (\S+)$/.exec(line);
    if (found === null) return masked(line);
    const [, channel, size, properties = ''] = found;
    const described = describeProperties(Buffer.from(properties, 'hex'));
    return masked(`${channel} content ${size} ${described}`.trimEnd());
  });
  const channelOf = (line: string): number => Number.parseInt(line, 10) || 0;
  return lines.sort((one, other) => channelOf(one) - channelOf(other));
}

function masked(line: string): string {
  return line
    .replace(/amq\.gen-[\w-]{4,}/g, 'amq.gen-*')
    .replace(/, x-last-death-\w+:S'[^']*'/g, '')
    .replace(/(basic\.nack \d+) \d$/, '$1')
    .replace(/amq\.ctag-[\w-]{4,}/g, 'amq.ctag-*')
    .replace(/amq\.rabbitmq\.reply-to\.[\w.+/=-]{4,}/g, 'amq.rabbitmq.reply-to.*');
}

async function play(server: Server, conversation: Conversation): Promise<string[][]> {
  const heard: string[][] = [];
  for (const { says } of conversation.steps) {
    for (const line of says) {
      const found = /^[>+] (?:([A-Z]) )?(.*)$/.exec(line);
      if (found === null) continue;
      const [, client = 'A', what = ''] = found;
      const pause = /^wait (\d+)$/.exec(what);
      if (pause !== null) await server.wait(Number(pause[1]));
      else if (what === 'drop') server.drop(client);
      else server.say(client, what);
    }
    heard.push(await server.hear());
  }
  await server.end(conversation);
  return heard;
}

function parse(file: string): Conversation[] {
  return file.split(/^(?=== )/m).map((block) => {
    const [title = '', ...lines] = block.trimEnd().split('\n');
    const steps: Step[] = [];
    let before: string[] = [];
    for (const line of lines) {
      const step = steps.at(-1);
      if (/^[>+]/.test(line)) {
        steps.push({ says: [...before, line], rabbitmq: [], ours: [] });
        before = [];
      } else if (step === undefined || !/^[+<!]/.test(line)) before.push(line);
      else if (line.startsWith('+')) step.says.push(line);
      else (line.startsWith('<') ? step.rabbitmq : step.ours).push(line.slice(2));
    }
    return { name: title.replace(/^== /, ''), steps };
  });
}

function print(conversations: readonly Conversation[]): string {
  const blocks = conversations.map(({ name, steps }) => {
    const lines = steps.flatMap(({ says, rabbitmq, ours }) => [
      ...says,
      ...rabbitmq.map((line) => `< ${line}`.trimEnd()),
      ...ours.map((line) => `! ${line}`.trimEnd()),
    ]);
    return [`== ${name}`, ...lines].join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

for (const name of readdirSync(FOLDER)) {
  const path = new URL(name, FOLDER);
  const conversations = parse(readFileSync(path, 'utf8'));
  if (RECORD !== '') {
    test(`record ${name}`, { timeout: 600_000 }, async () => {
      for (const conversation of conversations) await record(conversation);
      writeFileSync(path, print(conversations));
      expect(conversations.length).toBeGreaterThan(0);
    });
    continue;
  }
  describe(name, () => {
    test.each(conversations)('$name', async (conversation) => {
      const heard = await play(new OurServer(), conversation);
      const expected = conversation.steps.map(({ rabbitmq, ours }) => {
        const lines = ours.length > 0 ? ours : rabbitmq;
        return lines.filter((line) => line !== '');
      });
      expect(readable(conversation, heard)).toEqual(readable(conversation, expected));
    });
  });
}

async function record(conversation: Conversation): Promise<void> {
  const heard = await play(RECORD === 'ours' ? new OurServer() : new RabbitMq(), conversation);
  for (const [index, { rabbitmq, ours }] of conversation.steps.entries()) {
    const lines = heard[index] ?? [];
    if (RECORD !== 'ours') rabbitmq.splice(0, Infinity, ...lines);
    else if (lines.join('\n') === rabbitmq.join('\n')) ours.splice(0);
    else ours.splice(0, Infinity, ...(lines.length === 0 ? [''] : lines));
  }
}

/** With what was said before each answer, for whoever reads a difference. */
function readable({ steps }: Conversation, heard: readonly string[][]): string[] {
  return steps.flatMap(({ says }, index) => [
    ...says.filter((line) => /^[>+]/.test(line)),
    ...(heard[index] ?? []),
  ]);
}
