/**
 * Times in the notation of cron: `minute hour day month weekday`, each `*`, numbers, ranges `1-5`,
 * lists `1,3` and steps `0-30/10`, in the local time of this machine. As cron has it, where both
 * days are restricted, either will do.
 */

export interface Cron {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  /** Of the month; null: any. */
  readonly days: ReadonlySet<number> | null;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday; null: any. */
  readonly weekdays: ReadonlySet<number> | null;
}

/** February 29 comes at least once in so many years. */
const YEARS_MAX = 8;
const LENGTH_MAX = 256;

/** Null: `text` is none, or its time never comes. */
export function parseCron(text: string): Cron | null {
  const fields = text.trim().split(/\s+/);
  if (text.length > LENGTH_MAX || fields.length !== 5) return null;
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = fields;
  const minutes = numbers(minute, 0, 59);
  const hours = numbers(hour, 0, 23);
  const days = numbers(day, 1, 31);
  const months = numbers(month, 1, 12);
  const weekdays = numbers(weekday, 0, 7);
  if (!minutes || !hours || !days || !months || !weekdays) return null;
  if (weekdays.delete(7)) weekdays.add(0);
  const cron = {
    minutes,
    hours,
    days: day === '*' ? null : days,
    months,
    weekdays: weekday === '*' ? null : weekdays,
  };
  return nextTime(cron, 0) === 0 ? null : cron;
}

/** The first time after `afterMs`, both in milliseconds since the Unix epoch; 0: never. */
export function nextTime(cron: Cron, afterMs: number): number {
  const at = new Date(afterMs);
  at.setSeconds(0, 0);
  at.setMinutes(at.getMinutes() + 1);
  const lastYear = at.getFullYear() + YEARS_MAX;
  while (at.getFullYear() <= lastYear) {
    if (!cron.months.has(at.getMonth() + 1)) {
      at.setMonth(at.getMonth() + 1, 1);
      at.setHours(0, 0);
    } else if (!isDay(cron, at)) {
      at.setDate(at.getDate() + 1);
      at.setHours(0, 0);
    } else if (!cron.hours.has(at.getHours())) at.setHours(at.getHours() + 1, 0);
    else if (!cron.minutes.has(at.getMinutes())) at.setMinutes(at.getMinutes() + 1);
    else return at.getTime();
  }
  return 0;
}

function isDay({ days, weekdays }: Cron, at: Date): boolean {
  const day = days?.has(at.getDate());
  const weekday = weekdays?.has(at.getDay());
  if (day === undefined) return weekday ?? true;
  return weekday === undefined ? day : day || weekday;
}

/** The numbers that a field names; null where it cannot be meant. */
function numbers(field: string, min: number, max: number): Set<number> | null {
  const named = new Set<number>();
  for (const part of field.split(',')) {
    const range = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (range === null) return null;
    const [, first, last, step] = range;
    const from = first === undefined ? min : Number(first);
    const open = first === undefined || step !== undefined;
    const to = last === undefined ? (open ? max : from) : Number(last);
    const by = step === undefined ? 1 : Number(step);
    if (from < min || to > max || from > to || by === 0) return null;
    for (let number = from; number <= to; number += by) named.add(number);
  }
  return named;
}
