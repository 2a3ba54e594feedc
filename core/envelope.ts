/**
 * How typed headers travel on protocols that have only strings, and come back exactly.
 *
 * Each value is written as its natural text (tables and arrays as JSON, bytes as base64, timestamps
 * as seconds), and one more header, `x-header-types`, names the AMQP type letter of every value
 * that is not a plain string, as compact JSON:
 * `{"retries":"I","x-death":[{"count":"l","time":"T"}]}`. Inside tables and arrays JSON's own types
 * stand for themselves (string S, integer I, fraction d, boolean t, null V) and only others are
 * named.
 */
import { isUtf8 } from 'node:buffer';
import {
  type Headers,
  type HeaderTable,
  type HeaderValue,
  type Message,
  Typed,
} from './message.ts';

export const HEADER_TYPES = 'x-header-types';
/** Carries the whole routing key where an address cannot (mapping, section 2). */
export const ROUTING_KEY_HEADER = 'x-routing-key';

export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json };
/** A type letter, or for a table or array the types of what is in it. */
type Descriptor = string | readonly Descriptor[] | { readonly [name: string]: Descriptor };

const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

/** What RabbitMQ calls the types of values, in what it says of arguments. */
const TYPE_NAMES: Readonly<Record<string, string>> = {
  S: 'longstr',
  I: 'signedint',
  l: 'long',
  L: 'long',
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  i: 'unsignedint',
  d: 'double',
  f: 'float',
  D: 'decimal',
  T: 'timestamp',
  x: 'binary',
  A: 'array',
  F: 'table',
  V: 'void',
};

export function typeNameOf(value: HeaderValue): string {
  return TYPE_NAMES[letterOf(value)] ?? 'unknown';
}

/** The AMQP type letter of a value (RabbitMQ's dialect: `l` is a signed 64-bit integer). */
export function letterOf(value: HeaderValue): string {
  if (typeof value === 'string') return 'S';
  if (typeof value === 'number') return numberLetter(value);
  if (typeof value === 'bigint') return 'l';
  if (typeof value === 'boolean') return 't';
  if (value === null) return 'V';
  if (value instanceof Typed) return value.letter;
  if (value instanceof Date) return 'T';
  if (Buffer.isBuffer(value)) return 'x';
  return Array.isArray(value) ? 'A' : 'F';
}

function numberLetter(value: number): string {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return 'd';
  return value >= INT32_MIN && value <= INT32_MAX ? 'I' : 'l';
}

/**
 * A value without its type, for comparing: integers of every width become numbers where they fit.
 */
export function plain(value: HeaderValue): HeaderValue {
  if (value instanceof Typed)
    return value.letter === 'D' ? decimalText(value.value) : plain(value.value);
  if (typeof value === 'bigint' && BigInt.asIntN(53, value) === value) return Number(value);
  return value;
}

const INTEGER_LETTERS = 'bBsuIilL';

/** Whether its AMQP type is an integer's, of any width. */
export function isInteger(value: HeaderValue): boolean {
  return INTEGER_LETTERS.includes(letterOf(value));
}

/** A header value as its natural text. */
export function toText(value: HeaderValue): string {
  const json = toJson(value);
  return typeof json === 'string' ? json : json === null ? '' : JSON.stringify(json);
}

/** Headers for a protocol that has only strings, types named beside them where needed. */
export function toStrings(headers: Headers): [name: string, text: string][] {
  const texts: [string, string][] = [];
  let types: Record<string, Descriptor> | null = null;
  for (const [name, value] of headers) {
    if (typeof value === 'string') {
      texts.push([name, value]);
      continue;
    }
    texts.push([name, numeralOf(value) ?? toText(value)]);
    types ??= Object.create(null) as Record<string, Descriptor>;
    types[name] = describe(value) ?? letterOf(value);
  }
  if (types !== null) texts.push([HEADER_TYPES, JSON.stringify(types)]);
  return texts;
}

/** The inverse of `toStrings`; a type that does not fit its text leaves the text. */
export function fromStrings(texts: readonly (readonly [name: string, text: string])[]): Headers {
  const named = texts.find(([name]) => name === HEADER_TYPES);
  const types = named === undefined ? null : parseTypes(named[1]);
  if (types === null) return texts;
  const headers: (readonly [string, HeaderValue])[] = [];
  for (const [name, text] of texts) {
    if (name === HEADER_TYPES) continue;
    const type = Object.hasOwn(types, name) ? types[name] : undefined;
    headers.push([name, type === undefined ? text : (restored(text, type) ?? text)]);
  }
  // `null` is a value too, which `??` above cannot tell from "does not fit": its type says so.
  return headers.map(([name, value]) =>
    types[name] === 'V' && value === '' ? [name, null] : [name, value],
  );
}

/** A correlation id for protocols that carry text: bytes as base64, which `bytes` then says. */
export function correlationText(id: string | Buffer): {
  readonly text: string;
  readonly bytes: boolean;
} {
  return typeof id === 'string'
    ? { text: id, bytes: false }
    : { text: id.toString('base64'), bytes: true };
}

/** A correlation id from a protocol that carries bytes: a string where the bytes are text. */
export function correlationFrom(bytes: Buffer): string | Buffer {
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes;
}

const TEXT_TYPE =
  /^(text\/|application\/(json|xml|javascript|x-www-form-urlencoded|xhtml\+xml)\b|[^;]*\+(json|xml)\b)|;\s*charset=utf-?8/i;

/**
 * Whether a body is text that may be shown as such: its publisher says so, its type says so, or
 * nobody says and it is UTF-8.
 */
export function isText(message: Message): boolean {
  const { text, contentType } = message.properties;
  const said = text ?? (contentType === undefined ? undefined : TEXT_TYPE.test(contentType));
  return said !== false && isUtf8(message.body);
}

/** Numbers that JSON cannot write (NaN, infinities, beyond 2^53) still have a text. */
function numeralOf(value: HeaderValue): string | null {
  const bare = value instanceof Typed ? value.value : value;
  if (typeof bare === 'number') return Object.is(bare, -0) ? '-0' : String(bare);
  return typeof bare === 'bigint' ? String(bare) : null;
}

/** A value as JSON has it, its AMQP type forgotten. */
export function toJson(value: HeaderValue): Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0) ? value : (numeralOf(value) ?? '');
  if (typeof value === 'bigint')
    return BigInt.asIntN(53, value) === value ? Number(value) : String(value);
  if (value instanceof Date) return value.getTime() / 1000;
  if (Buffer.isBuffer(value)) return value.toString('base64');
  if (value instanceof Typed)
    return value.letter === 'D' ? decimalText(value.value) : toJson(value.value);
  if (isArray(value)) return value.map(toJson);
  const object = Object.create(null) as Record<string, Json>;
  for (const [name, inner] of value) object[name] = toJson(inner);
  return object;
}

/** What must be said of a value inside JSON beside its JSON; undefined where JSON says it all. */
function describe(value: HeaderValue): Descriptor | undefined {
  if (isArray(value)) {
    const inner = value.map(describe);
    return inner.every((type) => type === undefined) ? 'A' : inner.map((type) => type ?? '');
  }
  if (value instanceof Map) {
    const inner = Object.create(null) as Record<string, Descriptor>;
    for (const [name, held] of value as HeaderTable) {
      const type = describe(held);
      if (type !== undefined && type !== 'A' && type !== 'F') inner[name] = type;
    }
    return Object.keys(inner).length === 0 ? 'F' : inner;
  }
  const letter = letterOf(value);
  const natural = !(value instanceof Typed) && /^[SItV]$/.test(letter);
  return natural ||
    (typeof value === 'number' &&
      letter === 'd' &&
      Number.isFinite(value) &&
      !Number.isInteger(value))
    ? undefined
    : letter;
}

function restored(text: string, type: Descriptor): HeaderValue | undefined {
  if (typeof type === 'string' && type !== 'A' && type !== 'F') return fromJson(text, type);
  try {
    return fromJson(JSON.parse(text) as Json, type);
  } catch {
    return undefined;
  }
}

function fromJson(json: Json, type: Descriptor | undefined): HeaderValue | undefined {
  if (
    type === undefined ||
    type === '' ||
    type === 'A' ||
    type === 'F' ||
    typeof type !== 'string'
  ) {
    return structured(json, type);
  }
  const text = typeof json === 'string' ? json : String(json);
  switch (type) {
    case 'S':
      return typeof json === 'string' ? json : undefined;
    case 't':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'V':
      return text === '' || json === null ? null : undefined;
    case 'x':
      return Buffer.from(text, 'base64');
    case 'T':
      return numberOf(text, (seconds) => new Date(seconds * 1000));
    case 'l':
      return longFrom(text);
    case 'L': {
      const long = longFrom(text);
      return long === undefined ? undefined : new Typed('L', long);
    }
    case 'D':
      return decimalFrom(text);
    case 'I':
      return numberOf(text, (number) => number | 0);
    case 'd':
      return numberOf(text, (number) =>
        numberLetter(number) === 'd' ? number : new Typed('d', number),
      );
    default:
      return /^[bBsuif]$/.test(type)
        ? numberOf(text, (number) => new Typed(type, number))
        : undefined;
  }
}

function longFrom(text: string): bigint | undefined {
  return /^-?\d{1,20}$/.test(text) ? BigInt.asIntN(64, BigInt(text)) : undefined;
}

function structured(json: Json, type: Descriptor | undefined): HeaderValue | undefined {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) {
    const list = json as readonly Json[];
    return list.map(
      (inner, index) =>
        fromJson(inner, Array.isArray(type) ? type[index] : undefined) ?? orNull(inner),
    );
  }
  const types =
    typeof type === 'object' && !Array.isArray(type) ? (type as Record<string, Descriptor>) : {};
  const table = new Map<string, HeaderValue>();
  for (const [name, inner] of Object.entries(json)) {
    table.set(
      name,
      fromJson(inner, Object.hasOwn(types, name) ? types[name] : undefined) ?? orNull(inner),
    );
  }
  return table;
}

/** What stands in for a nested value that did not fit its type: its text. */
function orNull(json: Json): HeaderValue {
  return json === null || typeof json === 'object' ? null : String(json);
}

function numberOf(text: string, make: (number: number) => HeaderValue): HeaderValue | undefined {
  if (text === 'NaN') return make(Number.NaN);
  const number = text === '' ? Number.NaN : Number(text);
  return Number.isNaN(number) ? undefined : make(number);
}

function parseTypes(text: string): Record<string, Descriptor> | null {
  try {
    const types = JSON.parse(text) as unknown;
    return types !== null && typeof types === 'object' && !Array.isArray(types)
      ? (types as Record<string, Descriptor>)
      : null;
  } catch {
    return null;
  }
}

/** AMQP decimals are kept as their five bytes: scale, then a signed 32-bit value. */
function decimalText(bytes: number | bigint | Buffer): string {
  if (!Buffer.isBuffer(bytes)) return String(bytes);
  const scale = bytes.readUInt8(0);
  const value = bytes.readInt32BE(1);
  const digits = String(Math.abs(value)).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${value < 0 ? '-' : ''}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ''}`;
}

function decimalFrom(text: string): Typed | undefined {
  const parts = /^(-?)(\d+)(?:\.(\d{1,255}))?$/.exec(text);
  if (parts === null) return undefined;
  const value = Number(`${parts[1]}${parts[2]}${parts[3] ?? ''}`);
  if (value < INT32_MIN || value > INT32_MAX) return undefined;
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(parts[3]?.length ?? 0, 0);
  bytes.writeInt32BE(value, 1);
  return new Typed('D', bytes);
}

function isArray(value: HeaderValue): value is readonly HeaderValue[] {
  return Array.isArray(value);
}
