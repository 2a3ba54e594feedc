import { expect, test } from 'vitest';
import { xmpp } from '../../../adapters/xmpp/adapter.ts';

test('a section that is not there gives the defaults', () => {
  expect(xmpp.options(undefined)).toEqual({
    vhost: '/',
    domain: 'localhost',
    requireTls: false,
    anonymousUser: null,
    allowRegistration: false,
    registeredPermissions: {
      configure: '^muc\\.',
      write: '^(amq\\.(xmpp|topic)|muc\\..*)$',
      read: '^(amq\\.(xmpp|topic)|muc\\..*)$',
    },
    components: [],
    links: [],
  });
});

test('a link reaches the people of the domain above its own, unless others are named', () => {
  const secret = 's';
  const links = [
    { domain: 'MQ.example.org', secret, user: 'guest' },
    { domain: 'x', secret, user: 'guest', port: 8888, domains: ['a.org', 'b.org'] },
  ];
  expect(xmpp.options({ links }).links).toEqual([
    {
      path: 'xmpp.links[0]',
      host: '127.0.0.1',
      port: 5347,
      domain: 'mq.example.org',
      secret,
      user: 'guest',
      domains: ['example.org'],
    },
    {
      path: 'xmpp.links[1]',
      host: '127.0.0.1',
      port: 8888,
      domain: 'x',
      secret,
      user: 'guest',
      domains: ['a.org', 'b.org'],
    },
  ]);
});

test('domains are folded', () => {
  const options = xmpp.options({
    domain: 'Example.ORG',
    components: [{ domain: 'Bot.Example.org', secret: 's' }],
  });
  expect(options).toMatchObject({
    domain: 'example.org',
    components: [{ domain: 'bot.example.org', secret: 's' }],
  });
});

test.each([
  [{ domain: 'a b' }, /xmpp.domain/],
  [{ unknown: 1 }, /xmpp/],
  [{ require_tls: 'yes' }, /xmpp.require_tls/],
  [{ components: [{ domain: 'rooms.localhost', secret: 's' }] }, /xmpp.components\[0\].domain/],
  [{ components: [{ domain: 'c.localhost' }] }, /xmpp.components\[0\].secret/],
  [
    {
      components: [
        { domain: 'c.localhost', secret: 's' },
        { domain: 'C.localhost', secret: 's' },
      ],
    },
    /xmpp.components\[1\].domain/,
  ],
])('%j is refused with the path', (section, message) => {
  expect(() => xmpp.options(section)).toThrow(message);
});
