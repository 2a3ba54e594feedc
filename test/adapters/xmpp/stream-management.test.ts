import { describe, expect, it } from 'vitest';
import { StreamManagement } from '../../../adapters/xmpp/stream-management.ts';
import type { Wire } from '../../../adapters/xmpp/wire.ts';

const MESSAGE: Wire = ['<message from="a"', '/>'];
const REPLY: Wire = ['<iq type="result" id="1"/>'];

/** Keeps stanzas; `done` names those that were acknowledged, by their number. */
function managed(): { management: StreamManagement; keep: (wire: Wire) => void; done: number[] } {
  const management = new StreamManagement(null, 0);
  const done: number[] = [];
  let sent = 0;
  const keep = (wire: Wire): void => {
    const number = ++sent;
    management.keep(wire, { acknowledged: () => done.push(number), lost: () => {} });
  };
  return { management, keep, done };
}

describe('acknowledgements', () => {
  it('count from the beginning, each stanza once', () => {
    const { management, keep, done } = managed();
    for (let count = 0; count < 3; count++) keep(MESSAGE);
    expect([management.acknowledge(2), management.acknowledge(2)]).toEqual([true, true]);
    expect(done).toEqual([1, 2]);
    expect(management.acknowledge(3)).toBe(true);
    expect(done).toEqual([1, 2, 3]);
  });

  it('of more than was sent are refused', () => {
    const { management, keep } = managed();
    keep(MESSAGE);
    expect(management.acknowledge(2)).toBe(false);
  });

  it('that are behind what is on its way leave that waiting', () => {
    const { management, keep, done } = managed();
    keep(MESSAGE);
    keep(MESSAGE);
    expect(management.ask()).toBe(true);
    expect(management.acknowledge(1)).toBe(true);
    expect(done).toEqual([1]);
  });
});

describe('a client that does not count the answers to its requests', () => {
  it('is understood where it answers a question', () => {
    const { management, keep, done } = managed();
    let counted = 0;
    for (let round = 1; round <= 3; round++) {
      keep(REPLY);
      keep(MESSAGE);
      counted++;
      expect(management.ask()).toBe(true);
      expect(management.acknowledge(counted)).toBe(true);
      expect(done).toHaveLength(2 * round);
    }
  });

  it('is not taken for one that lost them on resumption', () => {
    const { management, keep, done } = managed();
    keep(REPLY);
    expect(management.ask()).toBe(true);
    expect(management.resume(0)).toBe(true);
    expect(done).toEqual([]);
  });

  it('is corrected where it counts them after all', () => {
    const { management, keep, done } = managed();
    keep(REPLY);
    management.ask();
    management.acknowledge(0);
    keep(MESSAGE);
    expect(management.acknowledge(2)).toBe(true);
    keep(REPLY);
    management.ask();
    expect(management.acknowledge(2)).toBe(true);
    expect(done).toEqual([1, 2]);
    expect(management.acknowledge(4)).toBe(false);
  });
});

it('a count that began before it was enabled is taken as everything, once', () => {
  const { management, keep, done } = managed();
  keep(MESSAGE);
  management.ask();
  expect(management.acknowledge(3)).toBe(true);
  keep(MESSAGE);
  management.ask();
  expect(management.acknowledge(1)).toBe(true);
  expect(done).toEqual([1, 2]);
  expect(management.acknowledge(3)).toBe(false);
});

it('a count that begins anew goes on from where it was asked', () => {
  const { management, keep, done } = managed();
  keep(MESSAGE);
  management.ask();
  management.acknowledge(1);
  keep(MESSAGE);
  expect(management.acknowledge(0)).toBe(true);
  expect(management.ask()).toBe(true);
  expect(management.acknowledge(0)).toBe(true);
  keep(MESSAGE);
  expect(management.acknowledge(1)).toBe(true);
  expect(done).toEqual([1, 2, 3]);
});
