/** What vhosts and users may have at a time. */
import { beforeEach, describe, expect, it } from 'vitest';
import { type Principal, SYSTEM } from '../../../core/auth.ts';
import type { Session } from '../../../core/engine.ts';
import { createWorld, type World } from '../../support/world.ts';
import { queueSpec } from '../engine-contract.ts';

let world: World;

beforeEach(() => {
  world = createWorld({ vhostLimits: { '/': { connectionsMax: 2, queuesMax: 2 } } });
});

function open(user: string, limits: Partial<Principal> = {}, vhost: string = '/'): Session {
  return world.engine.open(vhost, { ...world.principal(user), ...limits });
}

describe('connections', () => {
  it('of a vhost are limited, and its places are free again', () => {
    const first = open('guest');
    open('alice');
    expect(() => open('bob')).toThrow(
      "access to vhost '/' refused for user 'bob': connection limit (2) is reached",
    );
    open('guest', {}, 'other');
    void first.close();
    void first.close();
    open('bob');
    expect(() => open('bob')).toThrow(expect.objectContaining({ code: 'not-allowed' }));
  });

  it('of a user are limited over all vhosts', () => {
    const limits = { connectionsMax: 1 };
    const first = open('guest', limits);
    expect(() => open('guest', limits, 'other')).toThrow(
      "connection refused for user 'guest': user connection limit (1) is reached",
    );
    void first.close();
    open('guest', limits, 'other');
  });

  it('of the broker itself are not counted', () => {
    for (let n = 0; n < 3; n++) world.engine.open('/', SYSTEM);
    open('guest');
    open('guest');
    expect(() => open('guest')).toThrow('connection limit');
  });
});

describe('queues of a vhost', () => {
  it('are limited, with and without a name, but may be declared again', () => {
    const session = open('guest');
    void session.declareQueue(queueSpec('a'), false);
    void session.declareQueue(queueSpec(''), false);
    const reason = "cannot declare queue 'b': queue limit in vhost '/' (2) is reached";
    expect(() => session.declareQueue(queueSpec('b'), false)).toThrow(reason);
    expect(() => session.declareQueue(queueSpec(''), false)).toThrow('queue limit');
    void session.declareQueue(queueSpec('a'), false);
    void session.deleteQueue('a', false, false);
    void session.declareQueue(queueSpec('b'), false);
  });
});
