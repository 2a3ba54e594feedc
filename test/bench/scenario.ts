/** What is measured: each line of the table, and which of them a plain `npm run bench` shows. */
import { amqp } from './amqp.ts';
import { mqtt } from './mqtt.ts';
import { type BenchProtocol, Grade, type Shape } from './party.ts';
import { stomp } from './stomp.ts';
import { xmpp } from './xmpp.ts';

export const PROTOCOLS: readonly BenchProtocol[] = [amqp, mqtt, stomp, xmpp];

export interface Scenario {
  readonly name: string;
  readonly from: BenchProtocol;
  readonly to: BenchProtocol;
  readonly shape: Shape;
  /** Messages on their way at most. */
  readonly window: number;
  /** Among those that are run where none is asked for. */
  readonly usual: boolean;
}

/** Body bytes where nothing else is said. */
export const USUAL_SIZE = 128;

const PLAIN: Shape = {
  size: USUAL_SIZE,
  grade: Grade.TRANSIENT,
  route: 'queue',
  publishers: 1,
  consumers: 1,
  bindings: 0,
};
const CONFIRMED: Shape = { ...PLAIN, grade: Grade.CONFIRMED };
const KIBIBYTE = 1024;
const WINDOW = 4096;
/** MQTT brokers close on a client that goes beyond their receive maximum. */
const INFLIGHT = 512;
const CONFIRM_WINDOW = 1000;

export const SCENARIOS: readonly Scenario[] = [
  own(amqp, 'transient', PLAIN, true),
  own(amqp, 'transient', { ...PLAIN, size: 10 * KIBIBYTE }),
  own(amqp, 'confirmed', CONFIRMED, true),
  own(amqp, 'confirmed', { ...CONFIRMED, size: 512 }),
  own(amqp, 'confirmed', { ...CONFIRMED, size: KIBIBYTE }),
  own(amqp, 'confirmed', { ...CONFIRMED, size: 10 * KIBIBYTE }),
  own(amqp, 'fan-out-10', { ...PLAIN, route: 'fan-out', consumers: 10 }, true),
  own(amqp, 'fan-out-50', { ...PLAIN, route: 'fan-out', consumers: 50 }),
  own(amqp, 'topic-10000', { ...PLAIN, route: 'topic', bindings: 10_000 }),
  own(mqtt, 'qos-0', PLAIN, true),
  own(mqtt, 'qos-1', CONFIRMED, true),
  own(mqtt, 'qos-2', { ...PLAIN, grade: Grade.EXACTLY_ONCE }, true),
  own(mqtt, 'fan-in-50', { ...PLAIN, publishers: 50 }),
  own(mqtt, 'fan-out-50', { ...PLAIN, consumers: 50 }, true),
  own(stomp, 'auto', PLAIN, true),
  own(stomp, 'individual', CONFIRMED, true),
  own(xmpp, 'chat', PLAIN, true),
  own(xmpp, 'chat-no-store', { ...PLAIN, route: 'passing' }),
  own(xmpp, 'room-50', { ...PLAIN, route: 'room', consumers: 50 }),
  ...PROTOCOLS.flatMap((from) =>
    PROTOCOLS.filter((to) => to !== from).map((to) => cross(from, to)),
  ),
];

function own(
  protocol: BenchProtocol,
  name: string,
  shape: Shape,
  usual: boolean = false,
): Scenario {
  const safe = protocol === mqtt ? INFLIGHT : CONFIRM_WINDOW;
  const window = shape.grade === Grade.TRANSIENT ? WINDOW : safe;
  return { name, from: protocol, to: protocol, shape, window, usual };
}

/** Through one topic, that every protocol names in its own way. */
function cross(from: BenchProtocol, to: BenchProtocol): Scenario {
  const shape: Shape = { ...PLAIN, route: 'topic' };
  const usual = from === mqtt && to === amqp;
  return { name: `to-${to.name}`, from, to, shape, window: WINDOW, usual };
}
