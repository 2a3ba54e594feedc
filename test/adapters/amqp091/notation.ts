/**
 * The notation of transcripts: what a client sends as one line a frame, and what a server sends.
 *
 *     1 queue.declare queue=q durable arguments={"x-max-length":5}
 *     1 publish exchange=x key=k body=hello mandatory priority=3 headers={"n:l":7}
 *     raw 08 0001 00000000 ce
 *
 * Fields that are left out are empty. In a table a name that ends in `:` and a letter gives the
 * value's AMQP type, otherwise integers are `I`, texts `S`, lists `A`, objects `F`.
 */
import { Method } from '../../../adapters/amqp091/wire.ts';
import {
  entry,
  frame,
  HEADER,
  long,
  longlong,
  longText,
  method,
  octet,
  openChannel,
  openVhost,
  short,
  startOk,
  table,
  text,
  tuneOk,
} from './script.ts';

/**
 * The fields of what clients send: s short string, S long string, o octet, h short, l long, q
 * longlong, F table, a `|` joins flags to one octet.
 */
const FIELDS: Readonly<Record<string, string>> = {
  'connection.start-ok': 'client-properties:F mechanism:s response:S locale:s',
  'connection.tune-ok': 'channel-max:h frame-max:l heartbeat:h',
  'connection.open': 'vhost:s reserved:s insist|',
  'connection.close': 'code:h text:s class:h method:h',
  'connection.close-ok': '',
  'connection.update-secret': 'secret:S reason:s',
  'connection.start': 'major:o minor:o properties:F mechanisms:S locales:S',
  'connection.blocked': 'reason:s',
  'channel.open': 'reserved:s',
  'channel.flow': 'active|',
  'channel.flow-ok': 'active|',
  'channel.close': 'code:h text:s class:h method:h',
  'channel.close-ok': '',
  'channel.open-ok': 'reserved:S',
  'access.request': 'realm:s exclusive|passive|active|write|read',
  'exchange.declare':
    'ticket:h exchange:s type:s passive|durable|auto-delete|internal|no-wait arguments:F',
  'exchange.delete': 'ticket:h exchange:s if-unused|no-wait',
  'exchange.bind': 'ticket:h destination:s source:s key:s no-wait| arguments:F',
  'exchange.unbind': 'ticket:h destination:s source:s key:s no-wait| arguments:F',
  'queue.declare': 'ticket:h queue:s passive|durable|exclusive|auto-delete|no-wait arguments:F',
  'queue.bind': 'ticket:h queue:s exchange:s key:s no-wait| arguments:F',
  'queue.unbind': 'ticket:h queue:s exchange:s key:s arguments:F',
  'queue.purge': 'ticket:h queue:s no-wait|',
  'queue.delete': 'ticket:h queue:s if-unused|if-empty|no-wait',
  'basic.qos': 'size:l count:h global|',
  'basic.consume': 'ticket:h queue:s tag:s no-local|no-ack|exclusive|no-wait arguments:F',
  'basic.cancel': 'tag:s no-wait|',
  'basic.cancel-ok': 'tag:s',
  'basic.publish': 'ticket:h exchange:s key:s mandatory|immediate',
  'basic.get': 'ticket:h queue:s no-ack|',
  'basic.get-empty': 'reserved:s',
  'basic.ack': 'tag:q multiple|',
  'basic.reject': 'tag:q requeue|',
  'basic.nack': 'tag:q multiple|requeue',
  'basic.recover': 'requeue|',
  'basic.recover-async': 'requeue|',
  'confirm.select': 'no-wait|',
  'tx.select': '',
  'tx.commit': '',
  'tx.rollback': '',
};

/** In the order of their flags, which count down from the highest bit. */
const PROPERTIES: readonly (readonly [name: string, kind: string])[] = [
  ['content-type', 's'],
  ['content-encoding', 's'],
  ['headers', 'F'],
  ['delivery-mode', 'o'],
  ['priority', 'o'],
  ['correlation-id', 's'],
  ['reply-to', 's'],
  ['expiration', 's'],
  ['message-id', 's'],
  ['timestamp', 'q'],
  ['type', 's'],
  ['user-id', 's'],
  ['app-id', 's'],
  ['cluster-id', 's'],
];

/** The bytes of one line. */
export function encodeLine(line: string): Buffer {
  const [first = '', second = '', ...rest] = words(line);
  if (first === 'raw' || first === 'greeting')
    return Buffer.from([second, ...rest].join(''), 'hex');
  if (first === 'header') return HEADER;
  if (first === 'login') return login(parts([second, ...rest]));
  const channel = Number(first);
  const given = parts(rest);
  if (second === 'publish') return content(channel, given);
  if (second === 'properties') return contentHeader(channel, given);
  if (second === 'body') return frame(3, channel, Buffer.from(given.get('body') ?? ''));
  if (second === 'heartbeat') return frame(8, channel);
  return encodeMethod(channel, second, given);
}

function login(given: ReadonlyMap<string, string>): Buffer {
  const capabilities = (given.get('capabilities') ?? 'consumer_cancel_notify,basic.nack').split(
    ',',
  );
  return Buffer.concat([
    HEADER,
    startOk(given.get('user'), given.get('password'), capabilities),
    tuneOk(Number(given.get('channel-max') ?? 2047), Number(given.get('frame-max') ?? 131_072)),
    openVhost(given.get('vhost')),
    openChannel(1),
  ]);
}

function encodeMethod(channel: number, name: string, given: ReadonlyMap<string, string>): Buffer {
  const id = Method[name.toUpperCase().replace(/[.-]/g, '_') as keyof typeof Method];
  const fields = FIELDS[name];
  if (id === undefined || fields === undefined) throw new Error(`no method ${name}`);
  const encoded = fields.split(' ').filter((field) => field !== '');
  return method(channel, id, ...encoded.map((field) => encodeField(field, given)));
}

function encodeField(field: string, given: ReadonlyMap<string, string>): Buffer {
  if (field.includes('|')) {
    const flags = field.split('|');
    return octet(flags.reduce((sum, flag, bit) => sum + (given.has(flag) ? 1 << bit : 0), 0));
  }
  const [name = '', kind = ''] = field.split(':');
  return encodeValue(kind, given.get(name));
}

function encodeValue(kind: string, value: string | undefined): Buffer {
  const number = Number(value ?? 0);
  switch (kind) {
    case 's':
      return text((value ?? '').replace(/^(.)\*(\d+)$/, (_, unit, n) => unit.repeat(Number(n))));
    case 'S':
      return longText((value ?? '').replaceAll('\\0', '\0'));
    case 'o':
      return octet(number);
    case 'h':
      return short(number);
    case 'l':
      return long(number);
    case 'q':
      return longlong(number);
    default:
      return encodeTable(value === undefined ? {} : (JSON.parse(value) as object));
  }
}

function encodeTable(given: object): Buffer {
  return table(
    ...Object.entries(given).map(([key, value]) => {
      const [, name = '', typed] = /^(.*?)(?::(.))?$/.exec(key) ?? [];
      const letter = typed ?? letterOf(value);
      return entry(name, letter, encodeTyped(letter, value));
    }),
  );
}

function letterOf(value: unknown): string {
  if (typeof value === 'string') return 'S';
  if (typeof value === 'number') return Number.isInteger(value) ? 'I' : 'd';
  if (typeof value === 'boolean') return 't';
  if (value === null) return 'V';
  return Array.isArray(value) ? 'A' : 'F';
}

const FIXED: Readonly<Record<string, (bytes: DataView, value: never) => void>> = {
  t: (bytes, value: boolean) => bytes.setUint8(0, value ? 1 : 0),
  b: (bytes, value: number) => bytes.setInt8(0, value),
  B: (bytes, value: number) => bytes.setUint8(0, value),
  s: (bytes, value: number) => bytes.setInt16(0, value),
  u: (bytes, value: number) => bytes.setUint16(0, value),
  I: (bytes, value: number) => bytes.setInt32(0, value),
  i: (bytes, value: number) => bytes.setUint32(0, value),
  l: (bytes, value: number) => bytes.setBigInt64(0, BigInt(value)),
  T: (bytes, value: number) => bytes.setBigInt64(0, BigInt(value)),
  f: (bytes, value: number) => bytes.setFloat32(0, value),
  d: (bytes, value: number) => bytes.setFloat64(0, value),
  D: (bytes, value: number) => bytes.setUint32(1, value),
};
const SIZES: Readonly<Record<string, number>> = {
  t: 1,
  b: 1,
  B: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  D: 5,
};

function encodeTyped(letter: string, value: unknown): Buffer {
  if (letter === 'V') return Buffer.alloc(0);
  if (letter === 'S' || letter === 'x') return longText(String(value));
  if (letter === 'F') return encodeTable(value as object);
  if (letter === 'A') {
    const items = (value as unknown[]).map((item) => {
      const inner = letterOf(item);
      return Buffer.concat([Buffer.from(inner), encodeTyped(inner, item)]);
    });
    return longText(Buffer.concat(items));
  }
  const bytes = Buffer.alloc(SIZES[letter] ?? 8);
  FIXED[letter]?.(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), value as never);
  return bytes;
}

function contentHeader(channel: number, given: ReadonlyMap<string, string>): Buffer {
  const body = Buffer.from(given.get('body') ?? '');
  let flags = 0;
  const values = PROPERTIES.flatMap(([name, kind], index) => {
    const value = given.get(name);
    if (value === undefined) return [];
    flags |= 0x8000 >> index;
    return [encodeValue(kind, value)];
  });
  const size = longlong(Number(given.get('size') ?? body.length));
  const classId = short(Number(given.get('class') ?? 60));
  const weight = short(Number(given.get('weight') ?? 0));
  return frame(2, channel, classId, weight, size, short(flags), ...values);
}

function content(channel: number, given: ReadonlyMap<string, string>): Buffer {
  const body = Buffer.from(given.get('body') ?? '');
  const frames = [encodeMethod(channel, 'basic.publish', given), contentHeader(channel, given)];
  if (body.length > 0) frames.push(frame(3, channel, body));
  return Buffer.concat(frames);
}

function parts(given: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    given.map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

/** At spaces, but not inside of braces or quotes; quotes around a value are taken off. */
function words(line: string): string[] {
  const found = line.match(/(?:[^\s'{]+|'[^']*'|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})+/g) ?? [];
  return found.map((word) => word.replaceAll("'", ''));
}

/** Property bytes in the notation: `priority=3 headers={…}`. */
export function describeProperties(bytes: Buffer): string {
  const flags = bytes.readUInt16BE(0);
  let at = 2;
  const described: string[] = [];
  for (const [index, [name, kind]] of PROPERTIES.entries()) {
    if ((flags & (0x8000 >> index)) === 0) continue;
    let value: string;
    if (kind === 's') {
      const end = at + 1 + bytes.readUInt8(at);
      value = bytes.toString('utf8', at + 1, end);
      at = end;
    } else if (kind === 'F') {
      const end = at + 4 + bytes.readUInt32BE(at);
      value = `{${describeEntries(bytes.subarray(at + 4, end))}}`;
      at = end;
    } else {
      const size = kind === 'o' ? 1 : 8;
      value = String(size === 1 ? bytes.readUInt8(at) : bytes.readBigUInt64BE(at));
      at += size;
    }
    described.push(`${name}=${value}`);
  }
  return described.join(' ');
}

/** Sorted by name: brokers differ in it, and it has no meaning. */
function describeEntries(bytes: Buffer): string {
  const found: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at + 1 + bytes.readUInt8(at);
    const name = bytes.toString('utf8', at + 1, start);
    const [value, end] = describeValue(bytes, start);
    found.push(`${name}:${value}`);
    at = end;
  }
  return found.sort().join(', ');
}

function describeValue(bytes: Buffer, at: number): [value: string, end: number] {
  const letter = String.fromCharCode(bytes.readUInt8(at));
  const start = at + 1;
  if ('SxAF'.includes(letter)) {
    const end = start + 4 + bytes.readUInt32BE(start);
    const inner = bytes.subarray(start + 4, end);
    if (letter === 'F') return [`{${describeEntries(inner)}}`, end];
    if (letter !== 'A') return [`${letter}'${inner.toString('utf8')}'`, end];
    const items: string[] = [];
    for (let item = 0; item < inner.length; ) {
      const [value, next] = describeValue(inner, item);
      items.push(value);
      item = next;
    }
    return [`[${items.join(', ')}]`, end];
  }
  if (letter === 'V') return ['V', start];
  const size = SIZES[letter] ?? 8;
  // When it was is no part of a transcript.
  if (letter === 'T') return ['T', start + size];
  return [letter + BigInt(`0x${bytes.toString('hex', start, start + size)}`), start + size];
}
