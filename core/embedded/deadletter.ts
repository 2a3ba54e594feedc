/** The history of a message that a queue gave up, as RabbitMQ writes it into `x-death`. */
import { plain } from '../envelope.ts';
import {
  type Death,
  type Headers,
  type HeaderTable,
  type HeaderValue,
  header,
  type Message,
  type Trail,
} from '../message.ts';

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
  const deaths = deathsBefore(message);
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

const REASONS: readonly Death['reason'][] = ['rejected', 'expired', 'maxlen', 'delivery_limit'];

function deathsBefore({ trail, properties }: Message): readonly Death[] {
  if (trail !== null && trail.deaths.length > 0) return trail.deaths;
  return deathsOf(properties.headers);
}

/**
 * The dead-letter history of a message that a consumer published again with the headers that it
 * came with, as retry queues do: RabbitMQ goes on counting. Its first versions wrote an entry for
 * each death, which count as one of their kind. None where it is not of RabbitMQ's form.
 */
function deathsOf(headers: Headers): readonly Death[] {
  const list = header(headers, 'x-death');
  if (!Array.isArray(list)) return [];
  const deaths = new Map<string, Death>();
  for (const item of list as readonly HeaderValue[]) {
    const death = item instanceof Map ? deathOf(item as HeaderTable) : null;
    if (death === null) return [];
    const kind = `${death.reason} ${death.queue}`;
    const former = deaths.get(kind);
    const count = death.count + (former?.count ?? 0);
    deaths.set(kind, { ...(former ?? death), count });
  }
  return [...deaths.values()];
}

function deathOf(table: HeaderTable): Death | null {
  const queue = table.get('queue');
  const reason = REASONS.find((known) => known === table.get('reason'));
  const count = plain(table.get('count') ?? 1);
  const time = table.get('time');
  const exchange = table.get('exchange');
  const keys = table.get('routing-keys');
  const expiration = table.get('original-expiration');
  if (typeof queue !== 'string' || typeof exchange !== 'string') return null;
  if (reason === undefined || typeof count !== 'number' || !Array.isArray(keys)) return null;
  return {
    queue,
    reason,
    count,
    time: time instanceof Date ? time.getTime() : 0,
    exchange,
    routingKeys: (keys as readonly HeaderValue[]).filter((key) => typeof key === 'string'),
    originalExpiration: typeof expiration === 'string' ? expiration : null,
  };
}
