/**
 * What of a message must cross from every protocol to every other (docs/interop.md): one row a
 * trait, with what the sender says and what the receiver must find.
 */
import { expect } from 'vitest';
import { bytesOf, type Outgoing, type Received } from './clients/client.ts';

export interface Trait {
  readonly name: string;
  readonly message: Outgoing;
  readonly check: (received: Received) => void;
  /** What is left of it where an end carries the body alone; null: the trait is of the body. */
  readonly bareCheck: ((received: Received) => void) | null;
  /** True: left out for the libraries that `End.garbles` names. */
  readonly hard?: boolean;
}

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
/** Not UTF-8, with bytes that each text protocol would have to escape. */
const NO_TEXT = Buffer.from([0xff, 0x00, 0x0a, 0x0d, 0x3a, 0x5c, 0x26, 0x80, 0xc3, 0x28]);
const TEXT = 'Größe: 3 µm\n<b>&amp;</b> \\n ]]> 😀';

/** Names and values that each protocol has to escape in its own way. */
const HEADERS = {
  plain: 'value',
  'with space': 'some words',
  colons: 'a:b:c',
  back_slash: 'a\\b',
  lines: 'one\ntwo',
  xml: '<a href="x">&amp;</a> ]]>',
  größe: 'µ😀',
  empty: '',
  number: '42',
};
/** What not every client library gets right, whatever the broker does. */
const HARD_HEADERS = {
  'colon:name': 'named',
  spaces: ' around ',
  escaped: 'a\\nb\\\\rc\\',
  carriage: 'return\r\n',
};

function body(name: string, content: Buffer | string, contentType?: string): Trait {
  const check = (received: Received): void => {
    expect(received.body.equals(bytesOf(content))).toBe(true);
  };
  return { name, message: { body: content, contentType }, check, bareCheck: null };
}

const BODIES: readonly Trait[] = [
  body('a text', TEXT),
  body('a text with its type', TEXT, 'text/plain; charset=utf-8'),
  body('bytes that are no text', EVERY_BYTE, 'application/octet-stream'),
  body('bytes without a type', NO_TEXT),
  body('an empty body', ''),
  body('a body of many frames', Buffer.alloc(300_000, EVERY_BYTE), 'application/octet-stream'),
];

function property(
  name: string,
  said: Omit<Outgoing, 'body'>,
  check: (received: Received) => void,
  bareCheck: (received: Received) => void,
): Trait {
  return { name, message: { body: `body with ${name}`, ...said }, check, bareCheck };
}

const PROPERTIES: readonly Trait[] = [
  property(
    'content type',
    { contentType: 'application/vnd.example+json; charset=utf-8' },
    (it) => expect(it.contentType).toBe('application/vnd.example+json; charset=utf-8'),
    (it) => expect(it.contentType).toBeUndefined(),
  ),
  property(
    'correlation id, a text',
    { correlationId: 'order-1/größe' },
    (it) => expect(it.correlationId?.toString()).toBe('order-1/größe'),
    (it) => expect(it.correlationId).toBeUndefined(),
  ),
  property(
    'correlation id, bytes',
    { correlationId: NO_TEXT },
    (it) => expect(it.correlationId).toEqual(NO_TEXT),
    (it) => expect(it.correlationId).toBeUndefined(),
  ),
  property(
    'user headers',
    { headers: HEADERS },
    (it) => expect(it.headers).toMatchObject(HEADERS),
    (it) => expect(it.headers).toEqual({}),
  ),
  {
    ...property(
      'user headers with every kind of white space and escape',
      { headers: HARD_HEADERS },
      (it) => expect(it.headers).toMatchObject(HARD_HEADERS),
      (it) => expect(it.headers).toEqual({}),
    ),
    hard: true,
  },
  property(
    'message id',
    { messageId: 'id-4711' },
    (it) => expect(it.messageId).toBe('id-4711'),
    (it) => expect(it.messageId).not.toBe('id-4711'),
  ),
  property(
    'priority',
    { priority: 7 },
    (it) => expect(it.priority).toBe(7),
    (it) => expect(it.priority).toBeUndefined(),
  ),
  property(
    'remaining life',
    { expiryMs: 60_000 },
    (it) => {
      expect(it.expiryMs).toBeGreaterThan(30_000);
      expect(it.expiryMs).toBeLessThanOrEqual(60_000);
    },
    (it) => expect(it.expiryMs).toBeUndefined(),
  ),
];

/** Carried by the quality of service where there are no properties. */
const PERSISTENCE: readonly Trait[] = [true, false].map((persistent) => ({
  name: persistent ? 'persistence' : 'transience',
  message: { body: 'kept or not', persistent },
  check: (received) => expect(received.persistent).toBe(persistent),
  bareCheck: null,
}));

export const TRAITS: readonly Trait[] = [...BODIES, ...PROPERTIES, ...PERSISTENCE];
