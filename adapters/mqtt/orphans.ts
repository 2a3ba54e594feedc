/**
 * Queues whose session is not there any more: a crash came between the session's record and its
 * queue. They are deleted when sessions are restored, before they gather what nobody will fetch.
 */
import type { Admin, Session as EngineSession, Eventually } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import { chain } from './chain.ts';

export interface Broker {
  readonly admin: Admin;
  readonly log: Log;
  /** Opens an engine session of the broker's own. */
  open(vhost: string): Eventually<EngineSession>;
}

/**
 * Deletes queues of sessions that `owned` does not name, and those of groups without members that
 * hold nothing: what a full one holds was confirmed to its publishers, and waits for workers to
 * come back.
 */
export function sweepOrphans(
  { admin, log, open }: Broker,
  owned: (vhost: string, queue: string) => boolean,
): void {
  for (const vhost of admin.vhosts()) {
    const orphans: string[] = [];
    for (const { name, type, ready, unacknowledged } of admin.queues(vhost)) {
      const empty = ready + unacknowledged === 0;
      const ours = type === 'session' || (empty && name.startsWith('mqtt-share-'));
      if (ours && !owned(vhost, name)) orphans.push(name);
    }
    if (orphans.length === 0) continue;
    log.info({ vhost, queues: orphans.length }, 'queues without a session deleted');
    void after(
      () => chain(open(vhost), (engine) => deleteAll(engine, orphans)),
      () => {},
      (error) => log.warn({ vhost, reason: reasonOf(error) }, 'queues not deleted'),
    );
  }
}

function deleteAll(engine: EngineSession, queues: readonly string[]): Eventually<void> {
  const deleted = queues.reduce<Eventually<unknown>>(
    (ready, queue) => chain(ready, () => engine.deleteQueue(queue, false, false)),
    undefined,
  );
  return chain(deleted, () => engine.close());
}
