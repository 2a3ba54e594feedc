/** What the clock has to do with a restart: a gateway is left as it stands, and another one begins. */
import type { IConnectPacket } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../core/store/memory.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type TestClient, TestGateway } from './client.ts';

/** Gateways that follow one another on one store; each crashes when the next one starts. */
class Life {
  readonly #store = new MemoryStore();
  readonly #now = new ManualClock();
  #gateway: TestGateway;
  #clock: ManualClock;

  constructor() {
    this.#clock = new ManualClock(this.#now.now());
    this.#gateway = this.#begin();
  }

  get gateway(): TestGateway {
    return this.#gateway;
  }

  /** Time goes by while the gateway is there. */
  pass(seconds: number): void {
    this.#now.advance(seconds * 1000);
    this.#clock.advance(seconds * 1000);
  }

  /** The gateway dies, and is started again after a while; its timers die with it. */
  crash(downSeconds: number = 0): void {
    this.#now.advance(downSeconds * 1000);
    this.#clock = new ManualClock(this.#now.now());
    this.#gateway = this.#begin();
    this.pass(0);
  }

  /** A client that sees every will. */
  watch(): TestClient {
    const watcher = this.#gateway.connect('watcher', 5);
    watcher.subscribe('will/#', 1);
    return watcher;
  }

  /** What there is to be seen of a will that was said before its watcher came. */
  last(): string[] {
    const watcher = this.watch();
    const texts = watcher.texts();
    watcher.disconnect();
    return texts;
  }

  #begin(): TestGateway {
    return new TestGateway({}, { store: this.#store, clock: this.#clock });
  }
}

/** A CONNECT with a will that is retained, and so told to who comes later. */
function leaving(delay: number, expiry: number): Partial<IConnectPacket> {
  return {
    clean: false,
    properties: { sessionExpiryInterval: expiry },
    will: {
      ...{ topic: 'will/c', payload: Buffer.from('gone'), qos: 1, retain: true },
      properties: { willDelayInterval: delay },
    },
  };
}

describe('a will that waits when the gateway dies', () => {
  it('is said when it is due, not when the gateway is back', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(60, 100)).lose();
    life.pass(10);
    life.crash(20);
    const watcher = life.watch();
    expect(watcher.texts()).toEqual([]);
    life.pass(29);
    expect(watcher.texts()).toEqual([]);
    life.pass(1);
    expect(watcher.texts()).toEqual(['will/c gone']);
    life.crash();
    const again = life.watch();
    life.pass(100);
    expect(again.texts()).toEqual([]);
  });

  it('is said at once where it fell due meanwhile', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(60, 100)).lose();
    life.crash(60);
    expect(life.last()).toEqual(['will/c gone']);
  });

  it('is said at once where its session ended meanwhile', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(60, 20)).lose();
    life.crash(30);
    expect(life.last()).toEqual(['will/c gone']);
    expect(life.gateway.connect('c', 5, leaving(0, 20)).take()).toEqual([]);
  });

  it('is not said when its client is back in time', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(60, 100)).lose();
    life.crash(20);
    life.gateway.connect('c', 5, { clean: false, properties: { sessionExpiryInterval: 100 } });
    life.pass(100);
    expect(life.last()).toEqual([]);
    life.crash(100);
    expect(life.last()).toEqual([]);
  });

  it('is said when a new session of that name begins', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(60, 100)).lose();
    life.crash(20);
    life.gateway.connect('c', 5, { clean: true });
    expect(life.last()).toEqual(['will/c gone']);
  });
});

describe('the will of a client that the gateway died under', () => {
  it('is said when the gateway is back, once', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(0, 100));
    life.crash(1000);
    expect(life.last()).toEqual(['will/c gone']);
    life.gateway.connect('s').publish('will/c', '', 0, { retain: true });
    life.crash();
    expect(life.last()).toEqual([]);
  });

  it.each([3, 4, 5] as const)('is said of a session that ends with it, too (level %i)', (level) => {
    const life = new Life();
    const { properties: _, ...will } = leaving(0, 0).will ?? { topic: '', payload: Buffer.of() };
    life.gateway.connect('c', level, { clean: true, will: { ...will, qos: 1, retain: true } });
    life.crash();
    expect(life.last()).toEqual(['will/c gone']);
  });

  it('waits for its delay from then on', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(30, 100));
    life.crash(1000);
    life.pass(29);
    expect(life.last()).toEqual([]);
    life.crash();
    life.pass(1);
    expect(life.last()).toEqual(['will/c gone']);
  });

  it('is not said where its client had said good-bye, or has no will any more', () => {
    const life = new Life();
    life.gateway.connect('c', 5, leaving(0, 100)).disconnect();
    life.gateway.connect('d', 5, leaving(0, 100));
    life.gateway.connect('d', 5, { clean: true });
    expect(life.last()).toEqual(['will/c gone']);
    life.crash();
    life.gateway.connect('s').publish('will/c', '', 0, { retain: true });
    life.crash();
    expect(life.last()).toEqual([]);
  });
});

describe('a session', () => {
  const lasting = { clean: false, properties: { sessionExpiryInterval: 100 } };

  it('ages while the gateway is down', () => {
    const life = new Life();
    life.gateway.connect('c', 5, lasting).lose();
    life.pass(40);
    life.crash(40);
    expect(present(life)).toBe(true);
    life.gateway.connect('c', 5, lasting).lose();
    life.pass(40);
    life.crash(70);
    expect(present(life)).toBe(false);
  });

  it('begins to age at the restart where its client was connected until the crash', () => {
    const life = new Life();
    life.gateway.connect('c', 5, lasting);
    life.crash(1000);
    life.pass(60);
    life.crash(30);
    expect(present(life)).toBe(true);
    life.crash(1000);
    life.pass(99);
    life.crash(2);
    expect(present(life)).toBe(false);
  });

  function present(life: Life): boolean {
    const connack = life.gateway.client(5).connect('c', lasting);
    return connack.cmd === 'connack' && connack.sessionPresent;
  }
});
