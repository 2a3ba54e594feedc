import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemClock } from '../../core/clock.ts';

describe('the clock of the machine', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('calls once, not before its time', () => {
    const called = vi.fn();
    new SystemClock().after(100, called);
    vi.advanceTimersByTime(99);
    expect(called).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(called).toHaveBeenCalledTimes(1);
  });

  it('waits for delays that setTimeout cannot', () => {
    const called = vi.fn();
    const month = 31 * 24 * 3600 * 1000;
    new SystemClock().after(2 * month, called);
    vi.advanceTimersByTime(2 * month - 1);
    expect(called).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(called).toHaveBeenCalledTimes(1);
  });

  it('cancels at any time, also in the middle of a long delay', () => {
    const called = vi.fn();
    const timer = new SystemClock().after(2 ** 32, called);
    vi.advanceTimersByTime(2 ** 31);
    timer.cancel();
    timer.cancel();
    vi.advanceTimersByTime(2 ** 33);
    expect(called).not.toHaveBeenCalled();
  });

  it('takes a negative delay for none', () => {
    const called = vi.fn();
    new SystemClock().after(-5, called);
    vi.advanceTimersByTime(1);
    expect(called).toHaveBeenCalledTimes(1);
  });
});
