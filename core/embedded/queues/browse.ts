import type { Message } from '../../message.ts';
import type { Backlog } from './backlog.ts';
import type { Members } from './members.ts';

/**
 * What is in a queue, oldest first, lent to `members` or waiting: at most `most` messages that have not expired
 * by `now` (ms since the epoch).
 */
export function browse(
  members: Members,
  backlog: Backlog,
  most: number,
  now: number,
): readonly Message[] {
  const alive = [...members.held(), ...backlog.entries()].filter(
    ({ expiresAt }) => expiresAt === 0 || expiresAt > now,
  );
  alive.sort((one, other) => one.position - other.position);
  const messages = alive.slice(0, most).map(({ message }) => message);
  for (const message of backlog.stored(most - messages.length)) messages.push(message);
  return messages;
}
