/** Every address has one notation on each protocol, and comes back from it (docs/fidelity.md). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { amqpAddresses } from '../../adapters/amqp091/address.ts';
import { mqttAddresses } from '../../adapters/mqtt/topic.ts';
import { stompAddresses } from '../../adapters/stomp/destination.ts';
import { domainsOf, xmppAddresses } from '../../adapters/xmpp/address.ts';
import type { AddressForm } from '../../core/explain.ts';
import type { Address } from '../../core/message.ts';

const FORMS: readonly AddressForm[] = [
  amqpAddresses,
  mqttAddresses('amq.topic'),
  stompAddresses,
  xmppAddresses(domainsOf('example.org')),
];

/** Well-formed text: what has no UTF-8 is on no wire. */
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.string({ unit: fc.constantFrom(...'aZ0/.*#+%$@:\\ &2f5éß'), maxLength: 12 }),
    fc.constantFrom('a.b', '.a..b.', '%2F', 'a%', '$queue/x', '$exchange/a/b', '$SYS/x', '/', '//'),
  )
  .filter((each) => !each.includes('\0'));

/** `amq.to:` begins no name of a queue: it is how replies find other exchanges. */
const addresses: fc.Arbitrary<Address> = fc
  .oneof(
    fc.record({ exchange: fc.constant(''), routingKey: text.filter((key) => key !== '') }),
    fc.record({ exchange: fc.constant('amq.topic'), routingKey: text }),
    fc.record({ exchange: fc.oneof(text, fc.constant('muc.room')), routingKey: text }),
  )
  .filter(({ exchange, routingKey }) => exchange !== '' || routingKey !== '')
  .filter(({ exchange, routingKey }) => exchange !== '' || !routingKey.startsWith('amq.to:'))
  .filter(({ exchange }) => exchange !== 'amq.xmpp' && exchange !== 'muc.');

it.each([
  ['xmpp:pubsub.example.org?;node=a/b.c', { exchange: 'amq.topic', routingKey: 'a.b/c' }],
  ['xmpp:pubsub.example.org?;node=%24exchange%2Fx%2Fa', { exchange: 'x', routingKey: 'a' }],
  ['xmpp:jobs@queues.example.org', { exchange: '', routingKey: 'jobs' }],
  ['xmpp:pubsub.example.org?;node=%', null],
  ['xmpp:pubsub.example.net?;node=a', null],
])('the URI %s is read', (uri, address) => {
  const xmpp = FORMS.find(({ protocol }) => protocol === 'xmpp');
  expect(xmpp?.parse(uri)).toEqual(address);
});

describe.each(FORMS)('$protocol', (form) => {
  it('says every address, and reads it back', () => {
    fc.assert(
      fc.property(addresses, (address) => {
        const said = form.describe(address);
        expect(said).not.toBeNull();
        expect(form.parse(said ?? '')).toEqual(address);
      }),
      { numRuns: 1000 },
    );
  });

  it('has one meaning for each text that it reads', () => {
    fc.assert(
      fc.property(text, (said) => {
        const address = form.parse(said);
        if (address === null) return;
        expect(form.parse(form.describe(address) ?? '')).toEqual(address);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['alice@example.org', 'a person'],
    ['bob@example.org/phone', 'a device'],
  ])('says %s, %s', (routingKey) => {
    const address = { exchange: 'amq.xmpp', routingKey };
    expect(form.parse(form.describe(address) ?? '')).toEqual(address);
  });

  it('says nothing of an address that is none', () => {
    expect(form.describe({ exchange: '', routingKey: '' })).toBeNull();
  });
});
