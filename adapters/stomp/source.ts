/**
 * What SUBSCRIBE to a destination consumes: a queue, how it is to be declared, and what it is
 * bound to. Topics and exchanges are read through a queue of the subscription's own; with
 * `durable:true` (or a name, or ActiveMQ's durable subscribers) that queue outlives the
 * connection.
 */
import { createHash } from 'node:crypto';
import type { Eventually, QueueSpec } from '../../core/engine.ts';
import type { Address } from '../../core/message.ts';
import { booleanHeader, describesQueue, integerHeader, queueSpec } from './arguments.ts';
import { type Destination, TOPIC_EXCHANGE, unusable } from './destination.ts';
import { StompError } from './errors.ts';
import type { Frame } from './frame.ts';
import type { Link } from './link.ts';
import { AMQ_PENDING, DURABLE, ID, PERSISTENT, SUBSCRIPTION_NAMES, X_QUEUE_NAME } from './names.ts';

export interface Source {
  /** To be declared first; null: it must be there. */
  readonly spec: QueueSpec | null;
  /** Declared only where it is missing: however somebody else declared it, it will do. */
  readonly lenient: boolean;
  /** Empty: the broker names it. */
  readonly queue: string;
  readonly binding: Address | null;
  /** Nobody else reads the queue, so what a selector does not match may go. */
  readonly own: boolean;
  /** Deleted by UNSUBSCRIBE with `durable:true`. */
  readonly durable: boolean;
}

/** What a subscription to `destination` reads; asked of the engine only for temporary queues. */
export function sourceOf(
  link: Link,
  frame: Frame,
  destination: Destination,
  text: string,
): Eventually<Source> {
  switch (destination.kind) {
    case 'queue':
      if (durableName(link, frame) !== null) throw durableQueue();
      return queueSource(frame, destination.name, null);
    case 'virtual':
      return queueSource(frame, destination.queue, {
        exchange: TOPIC_EXCHANGE,
        routingKey: destination.key,
      });
    case 'existing':
      if (destination.reply) throw unusable(text, frame.command);
      return existing(destination.name, false);
    case 'temporary-queue':
      return temporarySource(link, frame, destination.name, text);
    case 'temporary-topic':
      return boundSource(link, frame, text, {
        exchange: TOPIC_EXCHANGE,
        routingKey: link.temporary.topic(destination.name),
      });
    case 'topic':
      return boundSource(link, frame, text, {
        exchange: TOPIC_EXCHANGE,
        routingKey: destination.key,
      });
    case 'exchange':
      return boundSource(link, frame, text, {
        exchange: destination.exchange,
        routingKey: destination.key,
      });
    case 'composite':
      throw unusable(text, frame.command);
  }
}

/**
 * The queue behind a durable topic subscription of ActiveMQ's, or null where the frame names
 * none.
 */
export function durableName(link: Link, frame: Frame): string | null {
  if (link.dialect !== 'activemq') return null;
  for (const header of SUBSCRIPTION_NAMES) {
    const name = frame.get(header);
    if (name === undefined) continue;
    if (link.clientId === undefined) {
      throw new StompError(
        'Missing client-id',
        'A durable subscription needs a client-id header on CONNECT\n',
      );
    }
    return `${link.clientId}.${name}`;
  }
  return null;
}

/**
 * Whether a frame is of a durable subscription of RabbitMQ's: `durable`, or its older name
 * `persistent`.
 */
export function saysDurable(frame: Frame): boolean {
  const durable = booleanHeader(frame, DURABLE, false) || booleanHeader(frame, PERSISTENT, false);
  if (durable && !frame.has(ID)) {
    throw new StompError('Missing Header', "Header 'id' is required for durable subscriptions");
  }
  return durable;
}

function durableQueue(): StompError {
  return new StompError(
    'Invalid Subscription',
    'Invalid Subscription: cannot durably subscribe to a Queue destination!\n',
  );
}

function queueSource(frame: Frame, name: string, binding: Address | null): Source {
  const spec = queueSpec(frame, name, { durable: true, exclusive: false, autoDelete: false });
  const lenient = !describesQueue(frame);
  return { spec, lenient, queue: name, binding, own: false, durable: false };
}

function existing(queue: string, own: boolean): Source {
  return { spec: null, lenient: false, queue, binding: null, own, durable: false };
}

/** RabbitMQ has `/temp-queue/` in reply-to headers only. */
function temporarySource(link: Link, frame: Frame, name: string, text: string): Eventually<Source> {
  if (link.dialect === 'rabbitmq') throw unusable(text, frame.command);
  const queue = link.temporary.queue(name);
  return typeof queue === 'string'
    ? existing(queue, true)
    : queue.then((known) => existing(known, true));
}

function boundSource(link: Link, frame: Frame, text: string, binding: Address): Source {
  const subscriber = durableName(link, frame);
  if (subscriber !== null) {
    const spec = queueSpec(frame, subscriber, {
      durable: true,
      exclusive: false,
      autoDelete: false,
    });
    return { spec, lenient: true, queue: subscriber, binding, own: true, durable: true };
  }
  const durable = saysDurable(frame);
  const named = frame.get(X_QUEUE_NAME);
  // As RabbitMQ has it, a durable one is auto-delete still, unless the frame says otherwise.
  const queue = named ?? (durable ? subscriptionQueue(text, frame.get(ID) ?? '') : '');
  const own = named === undefined;
  const base = { durable, exclusive: !durable && own, autoDelete: true };
  const asked = { ...queueSpec(frame, queue, base), durable };
  const spec = link.dialect === 'activemq' ? limited(frame, asked) : asked;
  return { spec, lenient: false, queue, binding, own, durable };
}

/** ActiveMQ's limit for slow subscribers, from 1 on: its oldest messages make room. */
function limited(frame: Frame, spec: QueueSpec): QueueSpec {
  const most = integerHeader(frame, AMQ_PENDING, 0);
  if (most <= 0) return spec;
  return { ...spec, arguments: new Map([...spec.arguments, ['x-max-length', most]]) };
}

/**
 * Derived from destination and id, so that the subscriber finds it again; the digest bounds its
 * length.
 */
function subscriptionQueue(destination: string, id: string): string {
  const digest = createHash('sha256').update(`${destination}\0${id}`).digest();
  return `stomp-subscription-${digest.subarray(0, 16).toString('base64url')}`;
}
