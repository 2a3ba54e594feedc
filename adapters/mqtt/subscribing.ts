/** SUBSCRIBE and UNSUBSCRIBE: their filters one after the other, each with a reason code. */
import type { Eventually } from '../../core/engine.ts';
import { BrokerError, reasonOf } from '../../core/errors.ts';
import { isPending } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import { chain } from './chain.ts';
import type { Qos, SubscribePacket } from './packet.ts';
import { Reason, reasonForError } from './reason.ts';
import type { MqttSession } from './session.ts';
import { InvalidFilter, type SessionLink, type Subscription } from './session-context.ts';
import type { TopicAccess } from './topic-access.ts';

export interface Subscriber {
  readonly session: MqttSession;
  readonly link: SessionLink;
  readonly access: TopicAccess;
  readonly qosMax: Qos;
  log(): Log;
}

export interface Subscribed {
  /** One for each filter, in their order [MQTT-3.9.3-1]. */
  readonly reasons: number[];
  /** Those whose last values are wanted. */
  readonly made: Subscription[];
}

/**
 * What another broker subscribes to: what it published itself does not come back, and retained
 * messages are marked as such, whatever its options say: MQTT 3 has none.
 */
export function forBridge(packet: SubscribePacket): SubscribePacket {
  const requests = packet.requests.map((request) => {
    const noLocal = !request.filter.startsWith('$share/');
    return { ...request, noLocal, retainAsPublished: true };
  });
  return { ...packet, requests };
}

export function subscribe(subscriber: Subscriber, packet: SubscribePacket): Eventually<Subscribed> {
  const answer: Subscribed = { reasons: [], made: [] };
  return chain(subscribeFrom(subscriber, packet, 0, answer), () => answer);
}

/** The reasons for UNSUBACK. */
export function unsubscribe(
  session: MqttSession,
  filters: readonly string[],
): Eventually<readonly number[]> {
  const reasons: number[] = [];
  const each = (ready: Eventually<void>, filter: string): Eventually<void> =>
    chain(ready, () =>
      chain(session.unsubscribe(filter), (existed) => {
        reasons.push(existed ? Reason.SUCCESS : Reason.NO_SUBSCRIPTION_EXISTED);
      }),
    );
  return chain(filters.reduce<Eventually<void>>(each, undefined), () => reasons);
}

function subscribeFrom(
  subscriber: Subscriber,
  packet: SubscribePacket,
  from: number,
  answer: Subscribed,
): Eventually<void> {
  for (let index = from; index < packet.requests.length; index++) {
    const reason = subscribeOne(subscriber, packet, index, answer.made);
    if (isPending(reason)) {
      return reason.then((value) => {
        answer.reasons.push(value);
        return subscribeFrom(subscriber, packet, index + 1, answer);
      });
    }
    answer.reasons.push(reason);
  }
}

function subscribeOne(
  subscriber: Subscriber,
  packet: SubscribePacket,
  index: number,
  made: Subscription[],
): Eventually<number> {
  const { session, link, access, qosMax } = subscriber;
  const asked = packet.requests[index];
  if (asked === undefined) return Reason.UNSPECIFIED;
  const { filter } = asked;
  const failed = (error: unknown): number => refused(subscriber, filter, error);
  if (!access.maySubscribe(filter)) {
    return failed(new BrokerError('access-refused', 'not among its topics'));
  }
  const qos = Math.min(asked.qos, qosMax) as Qos;
  const request = { ...asked, qos };
  const existed = session.subscriptions.has(filter);
  const done = (subscription: Subscription): number => {
    const { retainHandling } = request;
    if (retainHandling === 0 || (retainHandling === 1 && !existed)) made.push(subscription);
    return qos;
  };
  try {
    const answer = session.subscribe({ request, id: packet.subscriptionId }, link);
    return isPending(answer) ? answer.then(done, failed) : done(answer);
  } catch (error) {
    return failed(error);
  }
}

function refused({ log }: Subscriber, filter: string, error: unknown): number {
  if (!(error instanceof BrokerError) && !(error instanceof InvalidFilter)) throw error;
  log().info({ filter, reason: reasonOf(error) }, 'subscription refused');
  const names = error instanceof BrokerError && error.code !== 'not-found';
  return names ? reasonForError(error.code) : Reason.FILTER_INVALID;
}
