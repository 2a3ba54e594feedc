/**
 * Delays that come again: a message that waits, is sent, and waits for its next time, a number of
 * times, for ever, or whenever cron's notation says.
 */
import { nextTime, parseCron } from './cron.ts';
import type { Delay, Message, Schedule } from './message.ts';

/** The delay that begins a schedule at `now` (ms since the epoch); null: its time never comes. */
export function delayOf(schedule: Schedule, now: number): Delay | null {
  const { delayMs, periodMs, times, cron } = schedule;
  if (cron === null) {
    const ms = delayMs > 0 ? delayMs : periodMs;
    const delay = { ms, until: now + ms };
    return periodMs > 0 && times !== 0 ? { ...delay, schedule } : delay;
  }
  const parsed = parseCron(cron);
  const until = parsed === null ? 0 : nextTime(parsed, now);
  return until === 0 ? null : { ms: until - now, until, schedule };
}

/** What becomes of a message whose time has come. */
export interface Due {
  /** It is to be sent now. */
  readonly sent: boolean;
  /** The times that it waits for from now on. */
  readonly delays: readonly Delay[];
}

/** Repetitions that were missed, while nobody was there to send them, are left out. */
export function due(message: Message, now: number): Due {
  const delay = message.trail?.delay;
  const schedule = delay?.schedule;
  if (delay === undefined || schedule === undefined) return { sent: true, delays: [] };
  const { periodMs, times, cron } = schedule;
  const repeats = periodMs > 0 && times !== 0;
  if (cron !== null) {
    // The hour has struck: it will again, and what it begins may have a delay of its own.
    const begun = repeats ? delayOf({ ...schedule, cron: null }, now) : null;
    const delays = [delayOf(schedule, now), begun].filter((each) => each !== null);
    return { sent: !repeats, delays: delays.map((each) => counted(message, each)) };
  }
  if (!repeats) return { sent: true, delays: [] };
  const missed = Math.floor(Math.max(0, now - delay.until) / periodMs);
  const until = delay.until + periodMs * (missed + 1);
  const left = { ...schedule, times: times < 0 ? times : times - 1 };
  return { sent: true, delays: [counted(message, { ms: 0, until, schedule: left })] };
}

/** A message's life begins when its time has come: so long after it was received. */
function counted(message: Message, delay: Delay): Delay {
  return { ...delay, ms: Math.max(0, delay.until - message.receivedAt) };
}
