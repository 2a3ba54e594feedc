/** The history of a message that a queue gave up, as RabbitMQ writes it into `x-death`. */
import { type Death, header, type Message, type Trail } from '../message.ts';

/**
 * The trail of `message` after it died in `queue`; repeated deaths of one kind are counted in one
 * entry.
 */
export function buried(
  message: Message,
  queue: string,
  reason: Death['reason'],
  now: number,
): Trail {
  const deaths = message.trail?.deaths ?? [];
  // What one queue counted is not for receivers from the next.
  const { deliveries: _, ...before } = message.trail ?? { hidden: [] };
  const former = deaths.find((death) => death.queue === queue && death.reason === reason);
  const death: Death =
    former !== undefined
      ? { ...former, count: former.count + 1 }
      : {
          queue,
          reason,
          count: 1,
          time: now,
          exchange: message.exchange,
          routingKeys: [message.routingKey, ...shownCopies(message)],
          originalExpiration: originalExpiration(message),
        };
  return {
    ...before,
    arrivedAt: now,
    deaths: [death, ...deaths.filter((other) => other !== former)],
  };
}

/**
 * Whether `queue` would get a message that died there before without anybody having rejected it
 * since: it would go round for ever (RabbitMQ's rule for dead-letter cycles).
 */
export function cycles(deaths: readonly Death[], queue: string): boolean {
  const before = deaths.findIndex((death) => death.queue === queue);
  if (before === -1) return false;
  return deaths.slice(0, before + 1).every((death) => death.reason !== 'rejected');
}

/** Keys that the sender selected; those of BCC nobody is told. */
function shownCopies(message: Message): readonly string[] {
  const { copies, trail } = message;
  if (copies === null || trail === null || !trail.hidden.includes('BCC')) return copies ?? [];
  const shown = header(message.properties.headers, 'CC');
  return Array.isArray(shown) ? shown.filter((key) => typeof key === 'string') : [];
}

function originalExpiration(message: Message): string | null {
  return message.expiresAt === 0 ? null : String(message.expiresAt - message.receivedAt);
}
