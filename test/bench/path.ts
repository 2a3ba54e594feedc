/**
 * The core's own share of a message: publish → route → queue → deliver → settle, without protocol or
 * network. `npm run build && node dist/test/bench/path.js` prints nanoseconds of CPU a message; compare
 * numbers of one machine and one run only.
 */
import { type Consumer, Credit, Outcome, type Publisher, type Session } from '../../core/engine.ts';
import { message } from '../support/messages.ts';
import { consumeSpec } from '../support/recorder.ts';
import { createWorld } from '../support/world.ts';

interface Case {
  readonly name: string;
  /** Publishes one message; answers how many deliveries it made. */
  readonly publish: (n: number) => number;
}

const WARM_UP = 30_000;
const MEASURED = 200_000;
const NOTHING = { settled: () => {}, returned: () => {}, writable: () => {} };
/** Accepts at once, as an acknowledgement in the same turn would. */
const ACCEPTING: Consumer = {
  deliver: (delivery) => delivery.settle(Outcome.ACCEPT),
  cancelled: () => {},
};

function open(): { readonly session: Session; readonly publisher: Publisher } {
  const world = createWorld();
  const session = world.engine.open('/', world.principal('guest'));
  return { session, publisher: session.publisher(NOTHING) };
}

function queue(session: Session, name: string, acknowledge: boolean, credit: number): void {
  const spec = { name, durable: false, exclusive: false, autoDelete: false, arguments: new Map() };
  void session.declareQueue(spec, false);
  const credits = credit === 0 ? [] : [new Credit(credit)];
  void session.consume(consumeSpec(name, { acknowledge, credits }), ACCEPTING);
}

function bind(session: Session, source: string, destination: string, routingKey: string): void {
  void session.bind({
    source,
    destination,
    toExchange: false,
    routingKey,
    arguments: new Map(),
  });
}

const BODY = 'x'.repeat(128);

function single(name: string, acknowledge: boolean, credit: number, confirms: boolean): Case {
  const { session, publisher } = open();
  queue(session, 'q', acknowledge, credit);
  return {
    name,
    publish: (n) => {
      publisher.publish(message({ key: 'q', body: BODY }), confirms ? n + 1 : 0, false);
      return 1;
    },
  };
}

function fanout(width: number): Case {
  const { session, publisher } = open();
  for (let n = 0; n < width; n++) {
    queue(session, `q${n}`, true, 100);
    bind(session, 'amq.fanout', `q${n}`, '');
  }
  return {
    name: `fan-out to ${width}, acknowledged, credit 100`,
    publish: () => {
      publisher.publish(message({ exchange: 'amq.fanout', body: BODY }), 0, false);
      return width;
    },
  };
}

function topic(bindings: number, keys: number): Case {
  const { session, publisher } = open();
  queue(session, 'q', true, 100);
  for (let n = 0; n < bindings; n++) bind(session, 'amq.topic', 'q', `device.${n}.*`);
  return {
    name: `topic, ${bindings} bindings, ${keys} keys in use`,
    publish: (n) => {
      const key = `device.${n % keys}.state`;
      publisher.publish(message({ exchange: 'amq.topic', key, body: BODY }), 0, false);
      return 1;
    },
  };
}

/** A backlog that is filled first and drained by pulling. */
function backlog(): Case {
  const { session, publisher } = open();
  const spec = { name: 'q', durable: false, exclusive: false, autoDelete: false };
  void session.declareQueue({ ...spec, arguments: new Map() }, false);
  return {
    name: 'through a backlog, pulled and acknowledged',
    publish: () => {
      publisher.publish(message({ key: 'q', body: BODY }), 0, false);
      const pulled = session.get('q', true);
      if (pulled !== null && !(pulled instanceof Promise)) pulled.delivery.settle(Outcome.ACCEPT);
      return 1;
    },
  };
}

function baseline(): Case {
  return {
    name: '(making the message alone)',
    publish: () => message({ key: 'q', body: BODY }).priority + 1,
  };
}

const cases: readonly Case[] = [
  baseline(),
  single('1 to 1, no acknowledgement', false, 0, false),
  single('1 to 1, acknowledged', true, 0, false),
  single('1 to 1, acknowledged, credit 100', true, 100, false),
  single('1 to 1, acknowledged, credit 100, confirmed', true, 100, true),
  fanout(10),
  topic(10_000, 1000),
  topic(10_000, 10_000),
  backlog(),
];

const only = process.argv[2];
for (const each of cases) {
  if (only !== undefined && !each.name.includes(only)) continue;
  for (let n = 0; n < WARM_UP; n++) each.publish(n);
  const start = process.cpuUsage();
  let deliveries = 0;
  for (let n = 0; n < MEASURED; n++) deliveries += each.publish(n);
  const { user, system } = process.cpuUsage(start);
  const nanoseconds = Math.round(((user + system) * 1000) / deliveries);
  process.stdout.write(
    `${each.name.padEnd(48)} ${String(nanoseconds).padStart(6)} ns a delivery\n`,
  );
}
