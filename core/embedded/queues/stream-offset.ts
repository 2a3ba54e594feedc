/** Where a consumer begins to read a stream: RabbitMQ's `x-stream-offset`. */
import { plain } from '../../envelope.ts';
import type { HeaderValue } from '../../message.ts';
import { intervalMs } from './stream-retention.ts';

export type StreamStart =
  | { readonly kind: 'first' | 'last' | 'next' }
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'time'; readonly time: number };

/** Null where the argument says nothing that we know. `now` is what an interval goes back from. */
export function streamStart(argument: HeaderValue | undefined, now: number): StreamStart | null {
  if (argument === undefined) return { kind: 'next' };
  const value = plain(argument);
  if (value === 'first' || value === 'last' || value === 'next') return { kind: value };
  if (value instanceof Date) return { kind: 'time', time: value.getTime() };
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    return { kind: 'offset', offset: Math.max(0, value) };
  }
  const ageMs = typeof value === 'string' ? intervalMs(value) : null;
  return ageMs === null ? null : { kind: 'time', time: now - ageMs };
}
