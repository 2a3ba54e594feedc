/**
 * A client for protocol scripts: frames are written field by field, and what the server says is
 * read as text, one line a frame: `1 queue.declare-ok q 0 0`. No network, no library of ours.
 */

import type { Connection, Context, Gate } from '../../../adapters/adapter.ts';
import { amqp } from '../../../adapters/amqp091/adapter.ts';
import type { AmqpOptions } from '../../../adapters/amqp091/options.ts';
import { Method } from '../../../adapters/amqp091/wire.ts';
import type { Session } from '../../../core/engine.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { createWorld, PEER, type World, type WorldOptions } from '../../support/world.ts';

export const HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1');

export const octet = (value: number): Buffer => Buffer.from([value]);
export const short = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
export const long = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
export const longlong = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
export const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([octet(bytes.length), bytes]);
};
export const longText = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([long(bytes.length), bytes]);
};
export const table = (...entries: Buffer[]): Buffer => longText(Buffer.concat(entries));
export const entry = (name: string, letter: string, value: Buffer): Buffer =>
  Buffer.concat([text(name), Buffer.from(letter), value]);
export const flag = (name: string): Buffer => entry(name, 't', octet(1));
export const NO_ARGUMENTS = table();

export function frame(type: number, channel: number, ...payload: Buffer[]): Buffer {
  const body = Buffer.concat(payload);
  return Buffer.concat([octet(type), short(channel), long(body.length), body, octet(0xce)]);
}

export function method(channel: number, id: number, ...fields: Buffer[]): Buffer {
  return frame(1, channel, long(id), ...fields);
}

export function startOk(
  user = 'guest',
  password = 'guest',
  capabilities: readonly string[] = ['authentication_failure_close', 'consumer_cancel_notify'],
): Buffer {
  const properties = table(entry('capabilities', 'F', table(...capabilities.map(flag))));
  const response = longText(`\0${user}\0${password}`);
  return method(0, Method.CONNECTION_START_OK, properties, text('PLAIN'), response, text('en_US'));
}

export function tuneOk(channels = 2047, frameBytes = 131_072, heartbeat = 0): Buffer {
  return method(0, Method.CONNECTION_TUNE_OK, short(channels), long(frameBytes), short(heartbeat));
}

export function openVhost(vhost = '/'): Buffer {
  return method(0, Method.CONNECTION_OPEN, text(vhost), text(''), octet(0));
}

export function openChannel(channel: number): Buffer {
  return method(channel, Method.CHANNEL_OPEN, text(''));
}

export function declareQueue(channel: number, name: string, bits = 0, args = NO_ARGUMENTS): Buffer {
  return method(channel, Method.QUEUE_DECLARE, short(0), text(name), octet(bits), args);
}

export function consume(channel: number, queue: string, tag: string, bits = 0): Buffer {
  const names = [short(0), text(queue), text(tag)];
  return method(channel, Method.BASIC_CONSUME, ...names, octet(bits), NO_ARGUMENTS);
}

export interface PublishParts {
  readonly exchange?: string;
  readonly bits?: number;
  /** Flags and property list. */
  readonly properties?: Buffer;
  readonly frameBytes?: number;
}

export function publish(
  channel: number,
  key: string,
  body: string | Buffer,
  parts: PublishParts = {},
): Buffer {
  const { exchange = '', bits = 0, properties = short(0), frameBytes = 131_072 } = parts;
  const bytes = Buffer.from(body);
  const names = [short(0), text(exchange), text(key)];
  const frames = [
    method(channel, Method.BASIC_PUBLISH, ...names, octet(bits)),
    frame(2, channel, short(60), short(0), longlong(bytes.length), properties),
  ];
  for (let at = 0; at < bytes.length; at += frameBytes - 8) {
    frames.push(frame(3, channel, bytes.subarray(at, at + frameBytes - 8)));
  }
  return Buffer.concat(frames);
}

export function ack(channel: number, tag: number, multiple = false): Buffer {
  return method(channel, Method.BASIC_ACK, longlong(tag), octet(multiple ? 1 : 0));
}

const NAMES = new Map<number, string>(
  Object.entries(Method).map(([name, id]) => {
    const [first = '', ...rest] = name.toLowerCase().split('_');
    return [id, `${first}.${rest.join('-')}`];
  }),
);

/**
 * Fields of the methods that a server sends: s short string, o octet, h short, l long, q longlong.
 */
const FIELDS: Readonly<Record<string, string>> = {
  'connection.tune': 'hlh',
  'connection.close': 'hsm',
  'connection.blocked': 's',
  'channel.flow-ok': 'o',
  'channel.close': 'hsm',
  'access.request-ok': 'h',
  'queue.declare-ok': 'sll',
  'queue.purge-ok': 'l',
  'queue.delete-ok': 'l',
  'basic.consume-ok': 's',
  'basic.cancel': 'so',
  'basic.cancel-ok': 's',
  'basic.return': 'hsss',
  'basic.deliver': 'sqoss',
  'basic.get-ok': 'qossl',
  'basic.ack': 'qo',
  'basic.nack': 'qo',
};

/** The frames in `bytes` as text. */
export function readFrames(bytes: Buffer): string[] {
  const lines: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes.subarray(at, at + 4).toString() === 'AMQP') {
      lines.push(`header ${[...bytes.subarray(at + 4, at + 8)].join(' ')}`);
      at += 8;
      continue;
    }
    const type = bytes.readUInt8(at);
    const channel = bytes.readUInt16BE(at + 1);
    const end = at + 7 + bytes.readUInt32BE(at + 3);
    if (bytes[end] !== 0xce) throw new Error(`no frame end at ${end}`);
    lines.push(readFrame(type, channel, bytes.subarray(at + 7, end)));
    at = end + 1;
  }
  return lines;
}

function readFrame(type: number, channel: number, payload: Buffer): string {
  if (type === 8) return 'heartbeat';
  if (type === 3) {
    const shown = payload.length > 40 ? `${payload.length} bytes` : payload.toString('latin1');
    return `${channel} body ${shown}`;
  }
  if (type === 2) {
    const properties = payload.subarray(12).toString('hex');
    return `${channel} content ${payload.readBigUInt64BE(4)} ${properties}`;
  }
  const name = NAMES.get(payload.readUInt32BE(0)) ?? '?';
  return [channel, name, ...readFields(FIELDS[name] ?? '', payload)].join(' ');
}

function readFields(kinds: string, payload: Buffer): (string | number | bigint)[] {
  const fields: (string | number | bigint)[] = [];
  let at = 4;
  for (const kind of kinds) {
    if (kind === 's') {
      const length = payload.readUInt8(at);
      fields.push(payload.toString('utf8', at + 1, at + 1 + length));
      at += 1 + length;
    } else if (kind === 'm') {
      fields.push(`(${payload.readUInt16BE(at)}, ${payload.readUInt16BE(at + 2)})`);
      at += 4;
    } else {
      const size = { o: 1, h: 2, l: 4, q: 8 }[kind] ?? 0;
      fields.push(size === 8 ? payload.readBigUInt64BE(at) : payload.readUIntBE(at, size));
      at += size;
    }
  }
  return fields;
}

/** A session whose control calls answer later, as those of a remote engine do. */
function lateSession(session: Session): Session {
  const data = new Set(['publisher', 'vhost', 'principal']);
  return new Proxy(session, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      const call = (...values: unknown[]): unknown => Reflect.apply(member, target, values);
      if (data.has(String(name))) return call;
      return async (...values: unknown[]) => {
        await Promise.resolve();
        return call(...values);
      };
    },
  });
}

/** The context with an engine and an authenticator that answer later. */
function late(context: Context): Context {
  const engine = new Proxy(context.engine, {
    get: (target, name) => {
      if (name !== 'open') return Reflect.get(target, name);
      return async (...values: Parameters<typeof target.open>) =>
        lateSession(await target.open(...values));
    },
  });
  const { authenticator } = context;
  return {
    ...context,
    engine,
    authenticator: {
      authenticate: async (credentials, peer) => authenticator.authenticate(credentials, peer),
      scram: (user, hash) => authenticator.scram(user, hash),
      exists: (user) => authenticator.exists(user),
    },
  };
}

export interface StageOptions extends WorldOptions {
  /** Everything that may be a promise is one. */
  readonly late?: boolean;
}

/** A gateway without a network that only AMQP clients come to. */
export class Stage {
  readonly world: World;
  readonly #gate: Gate;

  constructor(options: StageOptions = {}, amqpOptions: Partial<AmqpOptions> = {}) {
    this.world = createWorld(options);
    const context = options.late === true ? late(this.world.context) : this.world.context;
    const gate = amqp.start(context, { ...amqp.options(undefined), ...amqpOptions });
    if (gate instanceof Promise) throw new Error('the adapter starts at once');
    this.#gate = gate;
  }

  stop(): Promise<void> {
    return this.#gate.stop();
  }

  /** A client that has only connected. */
  client(framed = false): Actor {
    const transport = new PipeTransport(framed);
    const connection = this.#gate.accept(transport, PEER, { protocol: 'amqp' });
    return new Actor(transport, connection);
  }

  /** A client that is logged in, with channel 1 open. */
  ready(user = 'guest', password = 'guest', tune: Buffer = tuneOk()): Actor {
    const actor = this.client();
    actor.say(HEADER, startOk(user, password), tune, openVhost(), openChannel(1));
    const lines = actor.hear();
    if (lines.at(-1) !== '1 channel.open-ok') throw new Error(lines.join('\n'));
    return actor;
  }
}

/** One client of a script. */
export class Actor {
  readonly transport: PipeTransport;
  readonly connection: Connection;

  constructor(transport: PipeTransport, connection: Connection) {
    this.transport = transport;
    this.connection = connection;
  }

  /** Sends frames in one piece. */
  say(...frames: Buffer[]): this {
    this.connection.receive(Buffer.concat(frames));
    return this;
  }

  /** What the server said since the last call. */
  hear(): string[] {
    return readFrames(this.transport.sent());
  }

  /** Waits until no answer is awaited any more: the input is held as long. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5 || this.transport.held > 0; turn++) {
      if (turn > 1000) throw new Error('the input is held for ever');
      await Promise.resolve();
    }
  }

  /** Sends, and answers what the server says to it. */
  ask(...frames: Buffer[]): string[] {
    return this.say(...frames).hear();
  }
}
