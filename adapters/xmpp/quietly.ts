import type { Eventually } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';

/** Clears something away; that it did not work is for the log only. */
export function quietly(log: Log, what: string, call: () => Eventually<unknown>): void {
  after(
    call,
    () => {},
    (error) => log.info({ reason: reasonOf(error) }, `${what} failed`),
  );
}
