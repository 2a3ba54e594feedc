import type { Eventually } from './engine.ts';

/** Whether an answer is still to come. */
export function isPending<T>(eventual: Eventually<T>): eventual is Promise<T> {
  return eventual instanceof Promise;
}

/** All answers, in the order of their questions: at once where all are there. */
export function allOf<T>(eventuals: readonly Eventually<T>[]): Eventually<readonly T[]> {
  const answers: T[] = [];
  for (const eventual of eventuals) {
    if (isPending(eventual)) return Promise.all(eventuals);
    answers.push(eventual);
  }
  return answers;
}

/** The answer of a call that tells by calling back: at once where it did within the call. */
export function called(call: (done: () => void) => void): Eventually<void> {
  let isDone = false;
  let done = (): void => {
    isDone = true;
  };
  call(() => done());
  if (isDone) return;
  return new Promise((resolve) => {
    done = resolve;
  });
}

/**
 * Goes on with an answer: at once where it is there, later where it is a promise. `call` may throw
 * what a promise would reject with; `failed` gets both.
 */
export function after<T>(
  call: () => Eventually<T>,
  done: (value: T) => void,
  failed: (error: unknown) => void,
): Eventually<void> {
  let answer: Eventually<T>;
  try {
    answer = call();
  } catch (error) {
    failed(error);
    return;
  }
  if (isPending(answer)) return answer.then(done, failed);
  done(answer);
}
