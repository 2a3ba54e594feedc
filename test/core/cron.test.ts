import { describe, expect, it } from 'vitest';
import { nextTime, parseCron } from '../../core/cron.ts';

/** Thursday. */
const FROM = new Date(2026, 0, 1, 10, 20, 30);

describe('the next time', () => {
  it.each([
    ['* * * * *', new Date(2026, 0, 1, 10, 21)],
    ['*/15 * * * *', new Date(2026, 0, 1, 10, 30)],
    ['0-10/5 * * * *', new Date(2026, 0, 1, 11, 0)],
    ['5/20 * * * *', new Date(2026, 0, 1, 10, 25)],
    ['20 10 * * *', new Date(2026, 0, 2, 10, 20)],
    ['0 8,18 * * *', new Date(2026, 0, 1, 18, 0)],
    ['0 0 1 * *', new Date(2026, 1, 1)],
    ['0 0 31 * *', new Date(2026, 0, 31)],
    ['30 6 29 2 *', new Date(2028, 1, 29, 6, 30)],
    ['0 12 * * 1-5', new Date(2026, 0, 1, 12, 0)],
    ['0 12 * * 7', new Date(2026, 0, 4, 12, 0)],
    ['0 12 15 * 0', new Date(2026, 0, 4, 12, 0)],
    ['0 0 * 12 *', new Date(2026, 11, 1)],
  ])('of %s', (text, expected) => {
    const cron = parseCron(text);
    expect(cron === null ? 0 : nextTime(cron, FROM.getTime())).toBe(expected.getTime());
  });
});

it.each([
  '',
  '* * * *',
  '* * * * * *',
  '60 * * * *',
  '* 24 * * *',
  '* * 0 * *',
  '* * * 13 *',
  '* * * * 8',
  '5-1 * * * *',
  '*/0 * * * *',
  'a * * * *',
  '0 0 30 2 *',
  `${'1,'.repeat(200)}1 * * * *`,
])('%j is none', (text) => {
  expect(parseCron(text)).toBeNull();
});
