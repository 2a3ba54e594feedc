/**
 * A user of the gateway as XMPP sees it: the sessions, the inbox and the roster of one bare JID.
 */
import { eraseAccount } from './erasure.ts';
import type { Host } from './host.ts';
import { Inbox } from './inbox.ts';
import type { Jid } from './jid.ts';
import { Roster } from './roster.ts';
import type { ClientSession } from './session.ts';

export class Account {
  readonly jid: Jid;
  readonly inbox: Inbox;
  readonly roster: Roster;
  /** By resource. */
  readonly sessions = new Map<string, ClientSession>();
  /** An anonymous client's: gone with its last session. */
  temporary = false;
  readonly #host: Host;

  constructor(host: Host, jid: Jid) {
    this.#host = host;
    this.jid = jid;
    this.inbox = new Inbox(host, this);
    this.roster = new Roster(host, jid.bare);
  }

  add(session: ClientSession): void {
    this.sessions.set(session.jid.resource, session);
  }

  remove(session: ClientSession): void {
    if (this.sessions.get(session.jid.resource) === session) {
      this.sessions.delete(session.jid.resource);
    }
  }

  /** After a session has left and told so. */
  left(): void {
    this.inbox.update();
    if (this.sessions.size > 0) return;
    this.inbox.stop();
    if (this.temporary) {
      this.#host.accounts.offline(this);
      eraseAccount(this.#host, this.jid);
      return;
    }
    this.#host.lastSeen.set(this.jid.bare, this.#host.context.clock.now());
    this.#host.accounts.offline(this);
  }

  /** Sessions that sent available presence. */
  available(): ClientSession[] {
    return [...this.sessions.values()].filter((session) => session.presence.available);
  }

  /** Those that want messages: with a priority that is not negative (RFC 6121 4.7.2.3). */
  reachable(): ClientSession[] {
    return this.available().filter((session) => session.presence.priority >= 0);
  }

  /** The most available ones: all of the highest priority. */
  preferred(): ClientSession[] {
    const reachable = this.reachable();
    const highest = Math.max(...reachable.map((session) => session.presence.priority));
    return reachable.filter((session) => session.presence.priority === highest);
  }
}
