/** The end of an account: everything that was kept for it goes, and its contacts are told. */
import { element } from './element.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { quietly } from './quietly.ts';
import type { ClientSession } from './session.ts';
import type { StreamCondition } from './stream.ts';

/** Ends the sessions of an account, but `spared`; answers how many. */
export function endSessions(
  host: Host,
  jid: Jid,
  condition: StreamCondition,
  spared: ClientSession | null = null,
): number {
  const sessions = [...(host.accounts.online(jid.local)?.sessions.values() ?? [])];
  const ended = sessions.filter((session) => session !== spared);
  for (const session of ended) session.end(condition, 'ended by the server');
  return ended.length;
}

/** The account was taken away: whoever is logged in is let go (XEP-0077 3.2). */
export function endAccount(host: Host, jid: Jid): void {
  endSessions(host, jid, 'not-authorized');
  eraseAccount(host, jid);
}

/** Its sessions have ended by now. */
export function eraseAccount(host: Host, jid: Jid): void {
  cancelSubscriptions(host, jid);
  host.rosters.delete(jid.bare);
  host.privates.delete(jid.bare);
  host.lastSeen.delete(jid.bare);
  host.cards.delete(jid.bare);
  host.archives.drop(jid.bare);
  host.blocking.forget(jid.bare);
  host.personal.forget(jid.bare);
  for (const service of host.services.values()) service.erased?.(jid);
  host.accounts.forget(jid.local);
  const inbox = host.accounts.inboxOf(jid.local);
  quietly(host.log, 'deleting an inbox', () => host.system.deleteQueue(inbox, false, false));
}

/** Both directions of every subscription (XEP-0077 3.2). */
function cancelSubscriptions(host: Host, jid: Jid): void {
  const { roster } = host.accounts.peek(jid.local);
  for (const contact of [...roster.contacts()]) {
    const to = parseJid(contact.jid);
    if (to === null) continue;
    const types = [
      contact.asked || roster.sees(contact.jid) ? 'unsubscribe' : null,
      roster.shows(contact.jid) ? 'unsubscribed' : null,
    ];
    for (const type of types) {
      if (type === null) continue;
      host.router.send(element('presence', { type, from: jid.bare, to: contact.jid }));
    }
  }
}
