/** Another protocol's side of a test: publishing to the engine, and seeing what it routes. */
import { type Delivery, NO_ARGUMENTS, type Session } from '../../../core/engine.ts';
import { type Format, Message, type Properties } from '../../../core/message.ts';
import { PEER } from '../../support/world.ts';
import type { XmppWorld } from './pipe-client.ts';

const QUIET = { settled: () => {}, returned: () => {}, writable: () => {} };

export function sessionOf(world: XmppWorld, user: string = 'guest'): Session {
  const session = world.context.engine.open('/', world.principal(user), PEER);
  if (session instanceof Promise) throw new Error('the embedded engine does not wait');
  return session;
}

/** Publishes as if an AMQP client had. */
export function publish(
  world: XmppWorld,
  exchange: string,
  key: string,
  body: string,
  properties: Partial<Properties> = {},
  retain: boolean = false,
): void {
  const format: Format = {
    name: 'amqp091',
    read: () => ({ headers: [], ...properties }),
    write: () => Buffer.alloc(0),
  };
  const now = world.clock.now();
  const bytes = Buffer.from(body);
  const message = new Message(
    format,
    Buffer.alloc(0),
    bytes,
    exchange,
    key,
    true,
    0,
    0,
    now,
    retain,
  );
  sessionOf(world).publisher(QUIET).publish(message, 0, false);
}

/** Everything that a queue `observer`, bound to `exchange`, gets. */
export function observe(world: XmppWorld, exchange: string, key: string): Message[] {
  const session = sessionOf(world);
  const seen: Message[] = [];
  session.declareQueue(
    {
      name: 'observer',
      durable: false,
      exclusive: true,
      autoDelete: false,
      arguments: NO_ARGUMENTS,
    },
    false,
  );
  if (exchange !== '') {
    session.bind({
      source: exchange,
      destination: 'observer',
      toExchange: false,
      routingKey: key,
      arguments: NO_ARGUMENTS,
    });
  }
  consume(session, 'observer', (delivery) => seen.push(delivery.message));
  return seen;
}

export function consume(
  session: Session,
  queue: string,
  deliver: (delivery: Delivery) => void,
): void {
  session.consume(
    {
      queue,
      tag: `t-${queue}`,
      acknowledge: false,
      exclusive: false,
      priority: 0,
      credits: [],
      arguments: NO_ARGUMENTS,
    },
    { deliver, cancelled: () => {} },
  );
}

/** Ready messages of a queue; null where there is none. */
export function depth(world: XmppWorld, queue: string): number | null {
  for (const view of world.context.engine.admin.queues('/')) {
    if (view.name === queue) return view.ready + view.unacknowledged;
  }
  return null;
}
