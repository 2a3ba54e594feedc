/**
 * One measurement: publishers keep a window of messages on their way, consumers take them, and
 * for some seconds it is counted what arrived and what CPU time the server's process used for it.
 */
import type { Confirmed } from './confirms.ts';
import { type BenchProtocol, Grade, type Publisher, type Shape, type Target } from './party.ts';
import { usage } from './server.ts';

const BATCH_MAX = 128;
/** Until what is in use often is compiled. */
const WARM_UP_SECONDS = 3;
const IDLE_SETTLE_SECONDS = 1;
const IDLE_WARM_UP = 500;
/** Far more than a server lets anybody have on the way. */
const ON_THE_WAY_MAX = 2 ** 20;

export interface Result {
  /** Messages published and received by everybody they were for, per second. */
  readonly rate: number;
  /** CPU time of the server per delivery; null where its process is not known. */
  readonly cpuMicros: number | null;
  readonly memoryBytes: number | null;
  /** From publish to the first consumer's receipt. */
  readonly latency: Percentiles;
  /** From publish to its confirm; null where there are none, or several publishers. */
  readonly confirm: Percentiles | null;
}

/** In milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

/** One end of a load: a protocol, and the server to speak it with. */
export interface End {
  readonly protocol: BenchProtocol;
  readonly target: Target;
}

export interface Plan {
  readonly from: End;
  readonly to: End;
  readonly shape: Shape;
  /** Messages on their way at most. */
  readonly window: number;
  /** Messages published per second, in even steps; 0: as many as the window lets through. */
  readonly rate: number;
  readonly seconds: number;
  readonly pid: number | null;
}

export async function measure(plan: Plan): Promise<Result> {
  const { from, to, shape } = plan;
  const confirms = shape.grade !== Grade.TRANSIENT && from.protocol.confirms;
  const flow = new Flow({ ...plan, confirms });
  const consumers = await Promise.all(
    Array.from({ length: shape.consumers }, (_, number) =>
      to.protocol.consume(to.target, shape, number, (count) => flow.received(number, count)),
    ),
  );
  const open: Publisher[] = [];
  while (open.length < shape.publishers) {
    const confirmed: Confirmed = (count, first) => flow.confirmed(count, first);
    open.push(await from.protocol.publish(from.target, shape, confirmed));
  }
  let turn = 0;
  flow.start((count) => open[turn++ % open.length]?.publish(count));
  await sleep(WARM_UP_SECONDS);
  flow.latencies.clear();
  flow.confirmLatencies.clear();
  const before = { at: performance.now(), count: flow.deliveries, use: use(plan.pid) };
  await sleep(plan.seconds);
  const after = { at: performance.now(), count: flow.deliveries, use: use(plan.pid) };
  flow.stop();
  for (const end of [...open, ...consumers]) end.close();
  const deliveries = after.count - before.count;
  if (deliveries === 0) throw new Error('nothing arrived');
  const cpu =
    after.use === null || before.use === null ? null : after.use.cpuSeconds - before.use.cpuSeconds;
  return {
    rate: deliveries / shape.consumers / ((after.at - before.at) / 1000),
    cpuMicros: cpu === null ? null : (cpu * 1e6) / deliveries,
    memoryBytes: after.use?.memoryBytes ?? null,
    latency: flow.latencies.percentiles,
    confirm: confirms && shape.publishers === 1 ? flow.confirmLatencies.percentiles : null,
  };
}

/** Counts, and publishes the next batch when there is room for it in the window. */
class Flow {
  readonly latencies = new Histogram();
  readonly confirmLatencies = new Histogram();
  readonly #confirms: boolean;
  readonly #window: number;
  readonly #rate: number;
  readonly #batch: number;
  readonly #receivedBy: number[];
  /** When each of the last messages was published, or should have been. */
  readonly #publishedAt = new Float64Array(ON_THE_WAY_MAX);
  #publish: ((count: number) => void) | null = null;
  #pacer: NodeJS.Timeout | undefined;
  #published = 0;
  #confirmed = 0;

  constructor({ shape, window, rate, confirms }: Plan & { readonly confirms: boolean }) {
    this.#confirms = confirms;
    this.#window = window;
    this.#rate = rate;
    this.#batch = Math.min(BATCH_MAX, window);
    this.#receivedBy = new Array<number>(shape.consumers).fill(0);
  }

  get deliveries(): number {
    return this.#receivedBy.reduce((sum, count) => sum + count, 0);
  }

  start(publish: (count: number) => void): void {
    this.#publish = publish;
    if (this.#rate === 0) this.#fill();
    else this.#pace();
  }

  stop(): void {
    this.#publish = null;
    clearInterval(this.#pacer);
  }

  received(consumer: number, count: number): void {
    // Before it starts, consumers may get what an earlier run left.
    if (this.#publish === null) return;
    const before = this.#receivedBy[consumer] ?? 0;
    this.#receivedBy[consumer] = before + count;
    if (consumer === 0) this.#measure(this.latencies, before + 1, count);
    this.#fill();
  }

  confirmed(count: number, first: number = this.#confirmed + 1): void {
    this.#confirmed += count;
    this.#measure(this.confirmLatencies, first, count);
    this.#fill();
  }

  #fill(): void {
    if (this.#rate > 0 || this.#publish === null) return;
    let done = Math.min(...this.#receivedBy);
    if (this.#confirms) done = Math.min(done, this.#confirmed);
    while (this.#published + this.#batch - done <= this.#window) this.#send(this.#batch);
  }

  /**
   * What is late is sent at once but counts from when it was due: else a server that stalls would
   * have fewer messages that wait for it.
   */
  #pace(): void {
    const start = performance.now();
    this.#pacer = setInterval(() => {
      const due = Math.floor(((performance.now() - start) / 1000) * this.#rate);
      while (this.#published < due) {
        const count = Math.min(this.#batch, due - this.#published);
        for (let n = this.#published + 1; n <= this.#published + count; n++) {
          this.#publishedAt[n % ON_THE_WAY_MAX] = start + (n / this.#rate) * 1000;
        }
        this.#publishNext(count);
      }
    }, 1);
  }

  #send(count: number): void {
    const now = performance.now();
    for (let n = 1; n <= count; n++) {
      this.#publishedAt[(this.#published + n) % ON_THE_WAY_MAX] = now;
    }
    this.#publishNext(count);
  }

  #publishNext(count: number): void {
    this.#published += count;
    this.#publish?.(count);
  }

  #measure(latencies: Histogram, first: number, count: number): void {
    const now = performance.now();
    for (let n = first; n < first + count; n++) {
      latencies.add(now - (this.#publishedAt[n % ON_THE_WAY_MAX] ?? now));
    }
  }
}

/** Times in steps of a hundredth of a millisecond, up to ten seconds. */
class Histogram {
  readonly #steps = new Uint32Array(1_000_000);
  #count = 0;

  add(milliseconds: number): void {
    const step = Math.min(this.#steps.length - 1, Math.round(milliseconds * 100));
    this.#steps[step] = (this.#steps[step] ?? 0) + 1;
    this.#count++;
  }

  clear(): void {
    this.#steps.fill(0);
    this.#count = 0;
  }

  get percentiles(): Percentiles {
    return { p50: this.#percentile(50), p99: this.#percentile(99) };
  }

  #percentile(percent: number): number {
    let left = (this.#count * percent) / 100;
    for (const [step, times] of this.#steps.entries()) {
      left -= times;
      if (left <= 0) return step / 100;
    }
    return this.#steps.length / 100;
  }
}

function use(pid: number | null): ReturnType<typeof usage> {
  return pid === null ? null : usage(pid);
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** What one connection that is logged in and silent takes of the server's memory, in bytes. */
export async function measureIdle(end: End, connections: number, pid: number): Promise<number> {
  // The first ones pay for what is loaded and compiled on the way.
  const first = await silent(end, IDLE_WARM_UP);
  await sleep(IDLE_SETTLE_SECONDS);
  const before = usage(pid)?.memoryBytes ?? 0;
  const all = await silent(end, connections);
  await sleep(IDLE_SETTLE_SECONDS);
  const after = usage(pid)?.memoryBytes ?? 0;
  for (const publisher of [...first, ...all]) publisher.close();
  return (after - before) / connections;
}

async function silent({ protocol, target }: End, count: number): Promise<Publisher[]> {
  const open: Publisher[] = [];
  while (open.length < count) open.push(await protocol.publish(target, SILENT, () => {}));
  return open;
}

const SILENT: Shape = {
  size: 0,
  grade: Grade.TRANSIENT,
  route: 'queue',
  publishers: 1,
  consumers: 0,
  bindings: 0,
};
