/** The history of a message that a queue gave up, as RabbitMQ writes it into `x-death`. */
import type { Death, Message, Trail } from '../message.ts';

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
          routingKeys: [message.routingKey, ...(message.copies ?? [])],
          originalExpiration: originalExpiration(message),
        };
  return {
    ...message.trail,
    deaths: [death, ...deaths.filter((other) => other !== former)],
    hidden: message.trail?.hidden ?? [],
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

function originalExpiration(message: Message): string | null {
  return message.expiresAt === 0 ? null : String(message.expiresAt - message.receivedAt);
}
