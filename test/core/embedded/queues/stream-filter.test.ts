/** What consumers of a stream ask for by `x-stream-filter`. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Credit, Outcome, type Session } from '../../../../core/engine.ts';
import { type HeaderValue, Typed } from '../../../../core/message.ts';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { args } from '../../engine-contract.ts';

const VALUE = 'x-stream-filter-value';

let world: World;
let session: Session;

function read(asked: Record<string, HeaderValue>, credit: number = 100): Inbox {
  const inbox = new Inbox();
  const table = args({ 'x-stream-offset': 'first', ...asked });
  const spec = consumeSpec('s', { credits: [new Credit(credit)], arguments: table });
  void session.consume(spec, inbox);
  world.clock.advance(0);
  return inbox;
}

beforeEach(() => {
  world = createWorld();
  session = world.engine.open('/', world.principal('guest'));
  const named = { name: 's', durable: true, exclusive: false, autoDelete: false };
  void session.declareQueue({ ...named, arguments: args({ 'x-queue-type': 'stream' }) }, false);
  const publisher = session.publisher(new Outbox());
  for (const value of ['a', 'b', null, 'c', 'a']) {
    const headers: Record<string, string> = value === null ? {} : { [VALUE]: value };
    publisher.publish(
      message({ key: 's', body: value ?? 'none', headers, durable: true }),
      0,
      false,
    );
  }
  world.clock.advance(0);
});

describe('a stream filter', () => {
  it.each([
    ['a value', { 'x-stream-filter': 'a' }, ['a', 'a']],
    ['several', { 'x-stream-filter': ['b', 'c'] }, ['b', 'c']],
    [
      'one, and what has none',
      { 'x-stream-filter': 'b', 'x-stream-match-unfiltered': true },
      ['b', 'none'],
    ],
    ['one that nothing has', { 'x-stream-filter': 'd' }, []],
    ['nothing', { 'x-stream-match-unfiltered': true }, ['a', 'b', 'none', 'c', 'a']],
  ])('that asks for %s gives that', (_name, asked, bodies) => {
    expect(read(asked).bodies).toEqual(bodies);
  });

  it('takes no credit for what it passes over', () => {
    const inbox = read({ 'x-stream-filter': 'a' }, 1);
    expect(inbox.bodies).toEqual(['a']);
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    world.clock.advance(0);
    expect(inbox.bodies).toEqual(['a', 'a']);
  });

  it.each([
    ['x-stream-filter', { 'x-stream-filter': 7 }],
    ['x-stream-filter', { 'x-stream-filter': ['a', new Typed('b', 1)] }],
    ['x-stream-match-unfiltered', { 'x-stream-filter': 'a', 'x-stream-match-unfiltered': 'yes' }],
  ])('is refused where %s is of another type', (argument, asked) => {
    expect(() => read(asked)).toThrow(`invalid arg '${argument}' for queue 's' in vhost '/'`);
  });
});
