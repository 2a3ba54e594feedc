import type { Eventually } from '../../core/engine.ts';
import { isPending } from '../../core/eventually.ts';

/**
 * Goes on with an answer, at once where it is there. Errors go where the caller's caller looks for
 * them.
 */
export function chain<T, U>(
  answer: Eventually<T>,
  next: (value: T) => Eventually<U>,
): Eventually<U> {
  return isPending(answer) ? answer.then(next) : next(answer);
}
