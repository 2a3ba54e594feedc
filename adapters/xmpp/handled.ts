/**
 * How much was handled of sessions that a stop of the gateway ended: whoever wants to resume one
 * learns which stanzas need not be sent again (XEP-0198 5, `h` of `<failed/>`). What they were sent
 * and did not acknowledge is in their inboxes.
 */
import type { Host } from './host.ts';
import { JsonTable } from './json-table.ts';
import type { ClientSession } from './session.ts';

interface Ended {
  readonly jid: string;
  readonly handled: number;
}

export class Handled {
  readonly #table: JsonTable<Ended>;

  /** What was noted is of use for as long as a session may be resumed. */
  constructor(host: Host) {
    const { engine, clock } = host.context;
    this.#table = new JsonTable(engine.table('xmpp.handled'));
    const old = [...this.#table.entries()];
    if (old.length === 0) return;
    clock.after(host.limits.xmppResumeSecondsMax * 1000, () => {
      for (const [id] of old) this.#table.delete(id);
    });
  }

  /** The gateway is stopping, and takes nothing more of these. */
  note(sessions: Iterable<readonly [id: string, session: ClientSession]>): void {
    for (const [id, { jid, received }] of sessions) {
      this.#table.set(id, { jid: jid.bare, handled: received });
    }
  }

  /** Stanzas that were handled of a session that is gone; null where nothing is known of it. */
  of(id: string, jid: string): number | null {
    const ended = this.#table.get(id);
    return ended?.jid === jid ? ended.handled : null;
  }
}
