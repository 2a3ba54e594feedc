import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { domainsOf } from '../../../adapters/xmpp/address.ts';
import { bodyOf, nativeOf, XmppFormat } from '../../../adapters/xmpp/format.ts';
import { NO_PREFIXES, parseElement } from '../../../adapters/xmpp/tokenizer.ts';
import {
  type Format,
  type Headers,
  type HeaderValue,
  Message,
  type Properties,
  Typed,
} from '../../../core/message.ts';

const format = new XmppFormat(domainsOf('example.org'));
const NOW = Date.UTC(2026, 0, 1);

/** Lone surrogates have no bytes: they become U+FFFD. */
const wellFormed = (text: string): string => Buffer.from(text).toString();

/** A format whose messages are what the test says. */
function foreign(properties: Properties): Format {
  return { name: 'test', read: () => properties, write: () => Buffer.alloc(0) };
}

function foreignMessage(
  properties: Properties,
  body: Buffer,
  expiresAt: number = 0,
  priority: number = 0,
): Message {
  return new Message(
    foreign(properties),
    Buffer.alloc(0),
    body,
    'x',
    'k',
    false,
    priority,
    expiresAt,
    NOW,
  );
}

/** What another protocol's message is after XMPP wrote it and reads it. */
function crossed(properties: Properties, body: Buffer): { properties: Properties; body: Buffer } {
  const native = format.write(foreignMessage(properties, body), NOW);
  const { stanza } = format.parse(native);
  const there = new Message(format, native, bodyOf(stanza), 'x', 'k', false, 0, 0, NOW);
  return { properties: there.properties, body: there.body };
}

function read(
  xml: string,
  from: string = 'alice@example.org/r',
): { properties: Properties; body: string; native: string } {
  const stanza = parseElement(xml, NO_PREFIXES);
  const native = nativeOf(stanza, from);
  const message = new Message(format, native, bodyOf(stanza), 'x', 'k', false, 0, 0, NOW);
  return {
    properties: message.properties,
    body: message.body.toString(),
    native: native.toString(),
  };
}

describe('reading a stanza', () => {
  test('takes body, thread, id, type, subject and the sender', () => {
    const { properties, body } = read(
      "<message type='chat' id='m1' to='q@queues.example.org'><subject>S</subject><body>hi</body><thread>t1</thread></message>",
    );
    expect(body).toBe('hi');
    expect(properties).toMatchObject({
      text: true,
      correlationId: 't1',
      messageId: 'm1',
      type: 'chat',
      userId: 'alice',
      replyTo: { exchange: 'amq.xmpp', routingKey: 'alice@example.org/r' },
      headers: [['subject', 'S']],
    });
  });

  test('takes SHIM headers as properties and user headers', () => {
    const { properties } =
      read(`<message><body>1</body><headers xmlns='http://jabber.org/protocol/shim'>
      <header name='Content-Type'>application/json</header><header name='Reply-To'>jobs@queues.example.org</header>
      <header name='Timestamp'>1700000000</header><header name='App-ID'>app</header><header name='User-ID'>mallory</header>
      <header name='x-n'>5</header><header name='plain'>p</header><header name='x-header-types'>{"x-n":"I"}</header>
      <header name='x-user-Type'>mine</header></headers></message>`);
    expect(properties).toMatchObject({
      contentType: 'application/json',
      replyTo: { exchange: '', routingKey: 'jobs' },
      timestamp: 1_700_000_000,
      appId: 'app',
      userId: 'alice',
      headers: [
        ['x-n', 5],
        ['plain', 'p'],
        ['Type', 'mine'],
      ],
    });
  });

  test('takes a base64 payload or JSON for the body', () => {
    const payload = read(
      "<message><body>fallback</body><payload xmlns='urn:rosettamq:payload' encoding='base64' content-type='image/png'>AAEC</payload></message>",
    );
    expect(payload.body).toBe('\u0000\u0001\u0002');
    expect(payload.properties).toMatchObject({ contentType: 'image/png', text: false });
    const json = read(
      '<message><body>fallback</body><json xmlns=\'urn:xmpp:json:0\'>{"a":1}</json></message>',
    );
    expect(json.body).toBe('{"a":1}');
    expect(json.properties.contentType).toBe('application/json');
  });

  test('keeps the children as they were', () => {
    const children = '<body xml:lang="en">a</body><x xmlns="urn:x" a="&lt;"><y/>t</x>';
    expect(read(`<message to='b@x' from='a@x' type='chat'>${children}</message>`).native).toBe(
      `alice@example.org/r\n type="chat">${children}`,
    );
  });
});

describe('writing for XMPP', () => {
  test('shows text as a body and keeps the rest in SHIM', () => {
    const message = foreignMessage(
      {
        contentType: 'text/plain',
        replyTo: { exchange: '', routingKey: 'amq.gen-X' },
        correlationId: 'c1',
        messageId: 'm',
        type: 'order',
        headers: [['subject', 'S']],
      },
      Buffer.from('a < b'),
      NOW + 1500,
      7,
    );
    expect(format.write(message, NOW).toString()).toBe(
      '\n id="m"><subject>S</subject><body>a &lt; b</body><thread>c1</thread>' +
        '<headers xmlns="http://jabber.org/protocol/shim"><header name="Type">order</header>' +
        '<header name="Content-Type">text/plain</header><header name="Reply-To">amq.gen-%58@queues.example.org</header>' +
        '<header name="Priority">7</header><header name="Expiration">1500</header><header name="subject">S</header></headers><no-permanent-store xmlns="urn:xmpp:hints"/>',
    );
  });

  test('carries bytes that are no text beside a body for people', () => {
    const native = format
      .write(foreignMessage({ headers: [] }, Buffer.from([0xff, 0])), NOW)
      .toString();
    expect(native).toContain('<body>[2 bytes of data]</body>');
    expect(native).toContain(
      '<payload xmlns="urn:rosettamq:payload" encoding="base64">/wA=</payload>',
    );
  });
});

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 12 }),
  fc.constantFrom('Type', 'x-user-a', 'Content-Type', 'subject'),
);
const value: fc.Arbitrary<HeaderValue> = fc.oneof(
  fc.string({ unit: 'binary' }).map((text) => wellFormed(text)),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.boolean(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constant(null),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.integer({ min: 0, max: 2 ** 31 }).map((seconds) => new Date(seconds * 1000)),
  fc.integer({ min: -128, max: 127 }).map((number) => new Typed('b', number)),
);
const headers: fc.Arbitrary<Headers> = fc.uniqueArray(fc.tuple(name, value), {
  selector: ([key]) => key,
  maxLength: 6,
});
const optional = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(of, { nil: undefined });
const string = fc.string({ unit: 'binary', maxLength: 20 }).map((text) => wellFormed(text));
const notUtf8 = fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from([0xff, ...bytes]));

const properties: fc.Arbitrary<Properties> = fc.record({
  contentType: optional(string),
  contentEncoding: optional(string),
  correlationId: optional(fc.oneof(string, notUtf8)),
  replyTo: optional(
    fc.record({
      exchange: fc.constantFrom('', 'logs', 'muc.r', 'Ex%1'),
      routingKey: fc.constantFrom('q', 'A.b', '%41'),
    }),
  ),
  messageId: optional(string),
  timestamp: optional(fc.nat()),
  type: optional(
    fc.oneof(string, fc.constantFrom('chat', 'normal', 'groupchat', 'headline', 'error')),
  ),
  userId: optional(string),
  appId: optional(string),
  headers,
});

test('everything that another protocol says survives XMPP', () => {
  fc.assert(
    fc.property(
      properties,
      fc.oneof(
        string.map((s) => Buffer.from(s)),
        notUtf8,
      ),
      (said, body) => {
        const there = crossed(said, body);
        expect(there.body).toEqual(body);
        const { text: _, ...rest } = there.properties;
        expect(rest).toEqual({ ...said });
      },
    ),
    { numRuns: 500 },
  );
});
