/** Consumers that share a queue by groups of messages, or one at a time. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type ConsumeSpec,
  Credit,
  type MessageGroup,
  Outcome,
  type Session,
} from '../../../../core/engine.ts';
import type { Message } from '../../../../core/message.ts';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { queueSpec } from '../../engine-contract.ts';

let world: World;
let session: Session;

beforeEach(() => {
  world = createWorld();
  session = world.engine.open('/', world.principal('guest'));
  void session.declareQueue(queueSpec('q'), false);
});

function publish(...bodies: string[]): void {
  for (const body of bodies) {
    session.publisher(new Outbox()).publish(message({ key: 'q', body }), 0, false);
  }
}

function consume(parts: Partial<ConsumeSpec> = {}, by = session): Inbox {
  const inbox = new Inbox();
  void by.consume(consumeSpec('q', parts), inbox);
  return inbox;
}

/** Bodies `X1`, `X2`, … are of group X, which `X.` ends; what begins otherwise is of none. */
function groupOf({ body }: Message): MessageGroup | null {
  const text = body.toString();
  return /^[A-Z]/.test(text) ? { name: text.slice(0, 1), last: text.endsWith('.') } : null;
}

describe('groups of messages', () => {
  it('go to one consumer each, whoever took the first', () => {
    const [one, other] = [consume({ groupOf }), consume({ groupOf })];
    publish('X1', 'Y1', 'Y2', 'X2', 'X3', 'a', 'Y3');
    expect([one.bodies, other.bodies]).toEqual([
      ['X1', 'X2', 'X3'],
      ['Y1', 'Y2', 'a', 'Y3'],
    ]);
  });

  it('begin anew behind the message that ends them', () => {
    const [one, other] = [consume({ groupOf }), consume({ groupOf })];
    publish('X1', 'X.', 'X2', 'X3');
    expect([one.bodies, other.bodies]).toEqual([
      ['X1', 'X.'],
      ['X2', 'X3'],
    ]);
  });

  it('wait for their consumer, and are passed over for others meanwhile', () => {
    const credits = [new Credit(1)];
    const one = consume({ groupOf, acknowledge: true, credits });
    const other = consume({ groupOf });
    publish('X1', 'X2', 'Y1', 'X3', 'Y2');
    expect([one.bodies, other.bodies]).toEqual([['X1'], ['Y1', 'Y2']]);
    one.deliveries[0]?.settle(Outcome.ACCEPT);
    expect(one.bodies).toEqual(['X1', 'X2']);
  });

  it('go to another, in order, when their consumer leaves', () => {
    const leaving = world.engine.open('/', world.principal('guest'));
    const first = consume({ groupOf, acknowledge: true, credits: [new Credit(1)] }, leaving);
    publish('X1', 'X2', 'X3');
    const second = consume({ groupOf });
    expect([first.bodies, second.bodies]).toEqual([['X1'], []]);
    void leaving.close();
    expect(second.bodies).toEqual(['X1', 'X2', 'X3']);
  });

  it('go to another when their consumer cancels', () => {
    const inbox = new Inbox();
    const spec = { groupOf, acknowledge: true, credits: [new Credit(1)] };
    const subscription = session.consume(consumeSpec('q', spec), inbox);
    if (subscription instanceof Promise) throw new Error('the embedded engine answers at once');
    publish('X1', 'X2');
    const second = consume({ groupOf });
    void subscription.cancel();
    expect(second.bodies).toEqual(['X2']);
  });

  it('are no rule for consumers that do not heed them', () => {
    const [one, plain] = [consume({ groupOf }), consume()];
    publish('X1', 'X2', 'X3');
    expect([one.bodies, plain.bodies]).toEqual([['X1', 'X3'], ['X2']]);
  });

  it('end with a message that waited while others did', () => {
    const credits = [new Credit(1)];
    const one = consume({ groupOf, acknowledge: true, credits });
    const other = consume({ groupOf });
    publish('X1', 'X.', 'X2');
    expect([one.bodies, other.bodies]).toEqual([['X1'], []]);
    one.deliveries[0]?.settle(Outcome.ACCEPT);
    expect([one.bodies, other.bodies]).toEqual([['X1', 'X.'], ['X2']]);
  });
});

describe('a consumer that wants to be alone', () => {
  it('takes everything, from those who came before it too; the next takes over', () => {
    const leaving = world.engine.open('/', world.principal('guest'));
    const plain = consume();
    const first = consume({ alone: true, acknowledge: false }, leaving);
    const second = consume({ alone: true });
    publish('1', '2');
    void leaving.close();
    publish('3', '4');
    expect([plain.bodies, first.bodies, second.bodies]).toEqual([[], ['1', '2'], ['3', '4']]);
  });

  it('stands by while one of higher priority takes', () => {
    const low = consume({ alone: true });
    const high = consume({ alone: true, priority: 5 });
    publish('1');
    expect([low.bodies, high.bodies]).toEqual([[], ['1']]);
  });

  it('takes what belongs to the groups of others', () => {
    const grouped = consume({ groupOf });
    publish('X1');
    const alone = consume({ alone: true, groupOf });
    publish('X2');
    expect([grouped.bodies, alone.bodies]).toEqual([['X1'], ['X2']]);
  });
});
