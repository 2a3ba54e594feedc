import { MemoryGauge } from '../../core/embedded/memory-gauge.ts';
import {
  type ExchangeType,
  type RouterContext,
  Taken,
  type WaitingPlace,
} from '../../core/embedded/types.ts';
import type { Limits } from '../../core/limits.ts';
import type { Registry } from '../../core/registry.ts';
import { ManualClock } from './manual-clock.ts';

/** What a router is given that is asked only where a message would go: nothing waits, or is drawn. */
export function probing(exchangeTypes: Registry<ExchangeType>, limits: Limits): RouterContext {
  return {
    limits,
    exchangeTypes,
    clock: new ManualClock(),
    table: () => null,
    history: () => null,
    random: { bytes: (size) => Buffer.alloc(size) },
    memory: new MemoryGauge(Number.POSITIVE_INFINITY, () => {}),
    waitingRoom: nowhere,
  };
}

function nowhere(): WaitingPlace {
  return {
    spec: { name: '' },
    mark: 0,
    markIndex: 0,
    tracksBindings: false,
    slow: false,
    length: 0,
    publish: () => Taken.REFUSED,
    close: () => {},
  };
}
