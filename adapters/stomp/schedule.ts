/** ActiveMQ's headers that say when a message is sent. */
import type { Delay } from '../../core/message.ts';
import { delayOf } from '../../core/schedule.ts';
import { integerHeader, numberHeader } from './arguments.ts';
import { invalidHeader, StompError } from './errors.ts';
import type { Frame } from './frame.ts';
import * as names from './names.ts';

/** Numbers of the headers that make a schedule. */
export const SCHEDULE_HEADERS: readonly number[] = [
  names.AMQ_SCHEDULED_DELAY,
  names.AMQ_SCHEDULED_PERIOD,
  names.AMQ_SCHEDULED_REPEAT,
  names.AMQ_SCHEDULED_CRON,
].map(({ number }) => number);

/** Null: the frame's message is sent at once. */
export function scheduled(frame: Frame, now: number): Delay | null {
  const delayMs = numberHeader(frame, names.AMQ_SCHEDULED_DELAY, 0);
  const periodMs = numberHeader(frame, names.AMQ_SCHEDULED_PERIOD, 0);
  const times = integerHeader(frame, names.AMQ_SCHEDULED_REPEAT, 0);
  const text = frame.get(names.AMQ_SCHEDULED_CRON)?.trim() ?? '';
  const cron = text === '' ? null : text;
  if (times < -1) throw invalidHeader(frame.command, names.AMQ_SCHEDULED_REPEAT.text);
  // As ActiveMQ has it, repeating is nothing by itself.
  if (delayMs === 0 && periodMs === 0 && cron === null) return null;
  if (times !== 0 && periodMs === 0) {
    throw new StompError('Missing header', 'AMQ_SCHEDULED_REPEAT needs AMQ_SCHEDULED_PERIOD\n');
  }
  const delay = delayOf({ delayMs, periodMs, times, cron }, now);
  if (delay === null) throw invalidHeader(frame.command, names.AMQ_SCHEDULED_CRON.text);
  return delay;
}
