/** The exchange whose keys are JIDs. */
import { expect, it } from 'vitest';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld } from '../../../support/world.ts';
import { binding, queueSpec } from '../../engine-contract.ts';

it('takes a domain as binding key for everybody there', () => {
  const world = createWorld();
  const session = world.engine.open('/', world.principal('guest'));
  const bound = (queue: string, key: string): Inbox => {
    void session.declareQueue(queueSpec(queue), false);
    void session.bind(binding('amq.xmpp', queue, key));
    const inbox = new Inbox();
    void session.consume(consumeSpec(queue, { acknowledge: false }), inbox);
    return inbox;
  };
  const [all, one] = [bound('all', '@example.org'), bound('one', 'juliet@example.org')];
  const outbox = new Outbox();
  const keys = [
    'juliet@example.org',
    'romeo@example.org/orchard@b',
    'romeo@other.org',
    'example.org/@example.org',
    '@example.org',
    'juliet@example.org.uk',
  ];
  for (const key of keys) {
    session.publisher(outbox).publish(message({ exchange: 'amq.xmpp', key, body: key }), 0, false);
  }
  const seen = ({ deliveries }: Inbox): string[] =>
    deliveries.map((each) => each.message.body.toString());
  expect(seen(all)).toEqual(['juliet@example.org', 'romeo@example.org/orchard@b', '@example.org']);
  expect(seen(one)).toEqual(['juliet@example.org']);
});
