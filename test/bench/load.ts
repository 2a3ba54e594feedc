/**
 * One measurement: a publisher keeps a window of messages on their way, consumers take them, and
 * for some seconds it is counted what arrived and what CPU time the server's process used for it.
 */
import type { BenchProtocol, Shape, Target } from './party.ts';
import { usage } from './server.ts';

const BATCH = 128;
const WARM_UP_SECONDS = 1;

export interface Result {
  /** Messages published and received by everybody they were for, per second. */
  readonly rate: number;
  /** CPU time of the server per delivery; null where its process is not known. */
  readonly cpuMicros: number | null;
  readonly memoryBytes: number | null;
}

export interface Plan {
  readonly protocol: BenchProtocol;
  readonly target: Target;
  readonly shape: Shape;
  /** Messages on their way at most. */
  readonly window: number;
  readonly seconds: number;
  readonly pid: number | null;
}

export async function measure(plan: Plan): Promise<Result> {
  const { protocol, target, shape } = plan;
  const flow = new Flow(shape, plan.window);
  const consumers = await Promise.all(
    Array.from({ length: shape.consumers }, (_, number) =>
      protocol.consume(target, shape, number, (count) => flow.received(number, count)),
    ),
  );
  const publisher = await protocol.publish(target, shape, (count) => flow.confirmed(count));
  flow.start((count) => publisher.publish(count));
  await sleep(WARM_UP_SECONDS);
  const before = { at: performance.now(), count: flow.deliveries, use: use(plan.pid) };
  await sleep(plan.seconds);
  const after = { at: performance.now(), count: flow.deliveries, use: use(plan.pid) };
  flow.stop();
  publisher.close();
  for (const consumer of consumers) consumer.close();
  const deliveries = after.count - before.count;
  if (deliveries === 0) throw new Error('nothing arrived');
  const cpu =
    after.use === null || before.use === null ? null : after.use.cpuSeconds - before.use.cpuSeconds;
  return {
    rate: deliveries / shape.consumers / ((after.at - before.at) / 1000),
    cpuMicros: cpu === null ? null : (cpu * 1e6) / deliveries,
    memoryBytes: after.use?.memoryBytes ?? null,
  };
}

/** Counts, and publishes the next batch when there is room for it in the window. */
class Flow {
  readonly #shape: Shape;
  readonly #window: number;
  readonly #receivedBy: number[];
  #publish: ((count: number) => void) | null = null;
  #published = 0;
  #confirmed = 0;

  constructor(shape: Shape, window: number) {
    this.#shape = shape;
    this.#window = window;
    this.#receivedBy = new Array<number>(shape.consumers).fill(0);
  }

  get deliveries(): number {
    return this.#receivedBy.reduce((sum, count) => sum + count, 0);
  }

  start(publish: (count: number) => void): void {
    this.#publish = publish;
    this.#fill();
  }

  stop(): void {
    this.#publish = null;
  }

  received(consumer: number, count: number): void {
    this.#receivedBy[consumer] = (this.#receivedBy[consumer] ?? 0) + count;
    this.#fill();
  }

  confirmed(count: number): void {
    this.#confirmed += count;
    this.#fill();
  }

  #fill(): void {
    if (this.#publish === null) return;
    let done = Math.min(...this.#receivedBy);
    if (this.#shape.confirmed) done = Math.min(done, this.#confirmed);
    while (this.#published + BATCH - done <= this.#window) {
      this.#published += BATCH;
      this.#publish(BATCH);
    }
  }
}

function use(pid: number | null): ReturnType<typeof usage> {
  return pid === null ? null : usage(pid);
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
