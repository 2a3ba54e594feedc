/** What a dead message says of its history, to receivers of every protocol. */
import { describe, expect, it } from 'vitest';
import { buried, cycles } from '../../../core/embedded/deadletter.ts';
import { type Death, type HeaderValue, header, Message } from '../../../core/message.ts';
import { message } from '../../support/messages.ts';

function dies(from: Message, queue: string, reason: Death['reason'], at: number): Message {
  return from.rerouted('dlx', 'dead', null, buried(from, queue, reason, at));
}

function said(dead: Message, name: string): unknown {
  return header(dead.properties.headers, name);
}

function tables(dead: Message): Record<string, unknown>[] {
  const deaths = said(dead, 'x-death');
  if (!Array.isArray(deaths)) throw new Error('x-death is a list');
  return deaths.map((table) => Object.fromEntries(table));
}

describe('x-death', () => {
  it('tells queue, reason, time, exchange, keys and the expiration that was removed', () => {
    const first = message({ exchange: 'x', key: 'k', copies: ['cc'], expiresAt: 5000 });
    const dead = dies(first, 'q', 'expired', 61_999);
    expect(tables(dead)).toEqual([
      {
        count: expect.objectContaining({ letter: 'l', value: 1n }),
        reason: 'expired',
        queue: 'q',
        time: new Date(61_000),
        exchange: 'x',
        'routing-keys': ['k', 'cc'],
        'original-expiration': '5000',
      },
    ]);
    expect(dead.expiresAt).toBe(0);
  });

  it('has the newest first, and one entry with a count for each queue and reason', () => {
    let dead = dies(message({ key: 'work' }), 'work', 'rejected', 1000);
    dead = dies(dead, 'retry', 'expired', 2000);
    dead = dies(dead, 'work', 'rejected', 3000);
    expect(tables(dead).map((t) => [t['queue'], t['reason'], t['time']])).toEqual([
      ['work', 'rejected', new Date(1000)],
      ['retry', 'expired', new Date(2000)],
    ]);
    expect(dead.trail?.deaths.map((death) => death.count)).toEqual([2, 1]);
  });

  it('tells the expiration as it was given, however long the message waited to be routed', () => {
    const late = message({ receivedAt: 1000, expiresAt: 6000 }).begun(9000);
    expect(late.expiresAt).toBe(14_000);
    expect(tables(dies(late, 'q', 'expired', 14_000))[0]?.['original-expiration']).toBe('5000');
  });

  it('keeps saying which death was the first, when that one happens again', () => {
    let dead = dies(message({ key: 'work' }), 'work', 'rejected', 1000);
    dead = dies(dead, 'retry', 'expired', 2000);
    dead = dies(dead, 'work', 'rejected', 3000);
    dead = dies(dead, 'retry', 'expired', 4000);
    const names = ['x-first-death-queue', 'x-first-death-reason', 'x-last-death-queue'];
    expect(names.map((name) => said(dead, name))).toEqual(['work', 'rejected', 'retry']);
  });

  it('leaves the first to a history that the message came with', () => {
    const dead = dies(message({ key: 'work' }), 'work', 'rejected', 1000);
    const { format, native, body, exchange, routingKey } = dead;
    const headers: [string, HeaderValue][] = [
      ['x-death', [new Map<string, HeaderValue>([['queue', 'elsewhere']])]],
      ['x-first-death-reason', 'maxlen'],
    ];
    const told = { ...format, read: () => ({ headers }) };
    const sent = new Message(told, native, body, exchange, routingKey, false, 0, 0, 0);
    const again = dies(sent, 'work', 'expired', 2000);
    expect(said(again, 'x-first-death-reason')).toBe('maxlen');
    expect(said(again, 'x-last-death-reason')).toBe('expired');
  });

  it("replaces what the publisher said under the broker's names", () => {
    const forged = message({
      headers: { 'x-death': 'never', 'x-first-death-queue': 'forged', a: 'b' },
    });
    const dead = dies(forged, 'q', 'maxlen', 0);
    expect(said(dead, 'x-first-death-queue')).toBe('q');
    expect(said(dead, 'a')).toBe('b');
    expect(dead.properties.headers.filter(([name]) => name === 'x-death')).toHaveLength(1);
  });
});

describe('a circle', () => {
  const death = (queue: string, reason: Death['reason']): Death => ({
    ...{ queue, reason, count: 1, time: 0, exchange: '', routingKeys: [] },
    originalExpiration: null,
  });

  it('is one where nobody rejected since the message was there', () => {
    expect(cycles([], 'q')).toBe(false);
    expect(cycles([death('other', 'expired')], 'q')).toBe(false);
    expect(cycles([death('q', 'expired')], 'q')).toBe(true);
    expect(cycles([death('other', 'maxlen'), death('q', 'expired')], 'q')).toBe(true);
    expect(cycles([death('other', 'rejected'), death('q', 'expired')], 'q')).toBe(false);
    expect(cycles([death('other', 'expired'), death('q', 'rejected')], 'q')).toBe(false);
    expect(cycles([death('q', 'delivery_limit'), death('x', 'rejected')], 'q')).toBe(true);
  });
});
