/** What is delivered to a component is done with when the component has answered for it. */
import { expect, test } from 'vitest';
import { ANSWER_MS, Barrier } from '../../../adapters/xmpp/barrier.ts';
import { FIRST_ANSWER_MS } from '../../../adapters/xmpp/component-entity.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { depth, publish } from './bystander.ts';
import { createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';

const WORKER = 'worker@comp.localhost/1';

/** A component that consumes the queue of jobs. */
function working(): { readonly world: XmppWorld; readonly component: PipeClient } {
  const world = createXmppWorld();
  const component = world.component();
  component.send(`<presence from='${WORKER}' to='jobs@queues.localhost'/>`);
  return { world, component };
}

function answer(component: PipeClient, seen: string, type: 'result' | 'error'): string {
  const id = /<iq type="get" id="([^"]+)"/.exec(seen)?.[1];
  return component.send(`<iq type='${type}' id='${id}' from='comp.localhost' to='localhost'/>`);
}

const bodies = (seen: string): (string | undefined)[] =>
  [...seen.matchAll(/<body>(.*?)<\/body>/g)].map(([, body]) => body);

test('a delivery is settled by the answer to the request that follows it, even an error', () => {
  const { world, component } = working();
  publish(world, '', 'jobs', 'one');
  publish(world, '', 'jobs', 'two');
  expect(depth(world, 'jobs')).toBe(2);
  const seen = component.take();
  expect(bodies(seen)).toEqual(['one', 'two']);
  const next = answer(component, seen, 'error');
  expect(depth(world, 'jobs')).toBe(1);
  answer(component, next, 'result');
  expect(depth(world, 'jobs')).toBe(0);
});

test('what a component did not answer for is for the next', () => {
  const { world, component } = working();
  publish(world, '', 'jobs', 'one');
  publish(world, '', 'jobs', 'two');
  answer(component, component.take(), 'result');
  component.connection.closed(new Error('broken'));
  expect(depth(world, 'jobs')).toBe(1);
  const again = world.component();
  const seen = again.send(`<presence from='${WORKER}' to='jobs@queues.localhost'/>`);
  expect(bodies(seen)).toEqual(['two']);
});

test('one that never answers counts as having what was written to it', () => {
  const { world, component } = working();
  publish(world, '', 'jobs', 'one');
  world.clock.advance(FIRST_ANSWER_MS);
  expect(depth(world, 'jobs')).toBe(0);
  publish(world, '', 'jobs', 'two');
  expect(depth(world, 'jobs')).toBe(0);
  expect(component.transport.ended).toBeNull();
});

test('one that answered before and does not any more is gone', () => {
  const { world, component } = working();
  publish(world, '', 'jobs', 'one');
  answer(component, component.take(), 'result');
  publish(world, '', 'jobs', 'two');
  world.clock.advance(30_000);
  expect(component.take()).toContain('<connection-timeout ');
  expect(depth(world, 'jobs')).toBe(1);
});

test('what it sends back since nobody is there goes to others; anything else is not wanted', () => {
  const { world, component } = working();
  const refuse = (id: string, condition: string): void => {
    component.send(
      `<message type='error' id='${id}' from='${WORKER}' to='jobs@queues.localhost'><error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
    );
  };
  publish(world, '', 'jobs', 'bad', { messageId: 'm1' });
  refuse('m1', 'not-acceptable');
  expect(depth(world, 'jobs')).toBe(0);
  publish(world, '', 'jobs', 'good', { messageId: 'm2' });
  refuse('m2', 'recipient-unavailable');
  expect(depth(world, 'jobs')).toBe(1);
  const alice = world.online('alice', 'a');
  expect(bodies(alice.send("<presence to='jobs@queues.localhost'/>"))).toEqual(['good']);
});

test('a component is told by a receipt that a queue has its message', () => {
  const { component } = working();
  const seen = component.send(
    `<message from='${WORKER}' to='done@queues.localhost' id='d1'><body>x</body><request xmlns='urn:xmpp:receipts'/></message>`,
  );
  expect(seen).toContain(`<received xmlns="urn:xmpp:receipts" id="d1"/>`);
});

test('while its input is not read, an answer may be in there', () => {
  const clock = new ManualClock();
  const owner = { held: true, nextId: () => 'id', ask: () => {}, late: () => late++ };
  let late = 0;
  new Barrier(clock, owner).ask();
  clock.advance(ANSWER_MS);
  expect(late).toBe(0);
  owner.held = false;
  clock.advance(ANSWER_MS);
  expect(late).toBe(1);
});
