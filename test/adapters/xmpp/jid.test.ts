import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOfJid, domainsOf, jidOfAddress } from '../../../adapters/xmpp/address.ts';
import { escapeLocal, foldLocal, parseJid, unescapeLocal } from '../../../adapters/xmpp/jid.ts';

/** Lone surrogates have no bytes: they become U+FFFD. */
const wellFormed = (text: string): string => Buffer.from(text).toString();
const domains = domainsOf('example.org');

describe('addresses', () => {
  test.each([
    ['Alice@Example.ORG/Home Phone', 'alice@example.org/Home Phone'],
    ['example.org', 'example.org'],
    ['example.org./r', 'example.org/r'],
    ['a@b/c@d/e', 'a@b/c@d/e'],
    ['STRASSE@x', 'strasse@x'],
    ['b\u00fccher@example.org', 'b\u00fccher@example.org'],
    ['a@[::1]', 'a@[::1]'],
    ['a@127.0.0.1', 'a@127.0.0.1'],
  ])('%s is %s', (text, full) => {
    expect(parseJid(text)?.full).toBe(full);
  });

  test.each([
    '',
    '@x',
    'a@',
    'a b@x',
    'a"@x',
    '/r',
    'a@x/',
    'a@b@c',
    'a@-x',
    'a@x/\u0000',
    `${'a'.repeat(1024)}@x`,
    'a@x y',
  ])('%j is none', (text) => {
    expect(parseJid(text)).toBe(null);
  });
});

test('any name survives as a local part, and its JID is stable', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (raw) => {
      const name = wellFormed(raw);
      const local = escapeLocal(name);
      expect(unescapeLocal(local)).toBe(name);
      expect(foldLocal(local)).toBe(local);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ['jobs', 'jobs'],
  ['Jobs', '%4aobs'],
  ['a b', 'a\\20b'],
  ['a/b@c', 'a\\2fb\\40c'],
  ['50%', '50%25'],
  ['\\20', '\\5c20'],
  ['größe', 'größe'],
])('the name %j is the local part %s', (name, local) => {
  expect(escapeLocal(name)).toBe(local);
});

describe('canonical addresses', () => {
  const word = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .map((s) => wellFormed(s));

  test('every queue, exchange and room has a JID that means it', () => {
    fc.assert(
      fc.property(word, fc.oneof(word, fc.constant('')), (exchange, routingKey) => {
        if (exchange === 'amq.xmpp') return;
        const jid = jidOfAddress({ exchange, routingKey }, domains);
        if (jid === null) throw new Error('no JID');
        expect(parseJid(jid.full)?.full).toBe(jid.full);
        expect(addressOfJid(jid, domains)).toEqual({ exchange, routingKey });
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    [{ exchange: '', routingKey: 'jobs' }, 'jobs@queues.example.org'],
    [{ exchange: 'logs', routingKey: 'info.disk' }, 'logs%info.disk@exchanges.example.org'],
    [{ exchange: 'logs', routingKey: 'beef' }, 'logs%%62eef@exchanges.example.org'],
    [{ exchange: 'Logs', routingKey: '' }, '%4cogs%@exchanges.example.org'],
    [{ exchange: 'muc.talk', routingKey: '' }, 'talk@rooms.example.org'],
    [{ exchange: 'amq.xmpp', routingKey: 'a@example.org/r' }, 'a@example.org/r'],
  ])('%j is %s', (address, full) => {
    expect(jidOfAddress(address, domains)?.full).toBe(full);
  });

  test('an exchange address written by hand is understood', () => {
    const address = (text: string): unknown => {
      const jid = parseJid(text);
      return jid === null ? null : addressOfJid(jid, domains);
    };
    expect(address('logs@exchanges.example.org')).toEqual({ exchange: 'logs', routingKey: '' });
    expect(address('logs%beef@exchanges.example.org')).toEqual({
      exchange: 'logs',
      routingKey: 'beef',
    });
    expect(address('exchanges.example.org')).toBe(null);
    expect(address('a@example.org')).toBe(null);
  });
});
