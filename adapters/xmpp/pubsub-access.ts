/** Who may read a node by its access model (XEP-0060 4.5), and how others are told that they may not. */
import type { Element } from './element.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import type { NodeConfig } from './pubsub-config.ts';
import { specific } from './pubsub-request.ts';
import { errorReply } from './stanza-error.ts';

/** `pending`: an owner must say so first. */
export type Access = 'granted' | 'outcast' | 'no-presence' | 'no-group' | 'closed' | 'pending';

/** By the model alone, for somebody without an affiliation; `owners` are bare JIDs. */
export function modelAccess(
  host: Host,
  config: NodeConfig,
  owners: readonly string[],
  viewer: Jid,
): Access {
  switch (config.accessModel) {
    case 'open':
      return 'granted';
    case 'authorize':
      return 'pending';
    case 'whitelist':
      return 'closed';
    case 'presence':
      return owners.some((owner) => rosterOf(host, owner)?.shows(viewer.bare) === true)
        ? 'granted'
        : 'no-presence';
    case 'roster':
      return owners.some((owner) => isInGroup(host, owner, viewer, config.rosterGroups))
        ? 'granted'
        : 'no-group';
  }
}

/** The error that says why not (XEP-0060 6.1.3, 6.5.9). */
export function refusedAccess(iq: Element, access: Exclude<Access, 'granted'>): Element {
  switch (access) {
    case 'outcast':
      return errorReply(iq, 'forbidden');
    case 'closed':
      return errorReply(iq, 'not-allowed', specific('closed-node'));
    case 'no-presence':
      return errorReply(iq, 'not-authorized', specific('presence-subscription-required'));
    case 'no-group':
      return errorReply(iq, 'not-authorized', specific('not-in-roster-group'));
    case 'pending':
      return errorReply(iq, 'not-authorized', specific('not-subscribed'));
  }
}

function isInGroup(host: Host, owner: string, viewer: Jid, groups: readonly string[]): boolean {
  const contact = rosterOf(host, owner)?.find(viewer.bare);
  return contact?.groups.some((group) => groups.includes(group)) ?? false;
}

function rosterOf(
  host: Host,
  owner: string,
): ReturnType<Host['accounts']['peek']>['roster'] | null {
  const jid = parseJid(owner);
  if (jid === null || jid.domain !== host.domains.host) return null;
  return host.accounts.peek(jid.local).roster;
}
