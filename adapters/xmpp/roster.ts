/**
 * Roster of one account (RFC 6121 2): contacts, what is subscribed, and requests that wait for an
 * answer.
 */
import { type Element, element } from './element.ts';
import type { Host } from './host.ts';
import { NS } from './namespaces.ts';

export type SubscriptionState = 'none' | 'to' | 'from' | 'both';

export interface Contact {
  readonly jid: string;
  name: string | null;
  subscription: SubscriptionState;
  /** Asked for, and not answered. */
  asked: boolean;
  /** Whoever asks is answered at once (RFC 6121 3.4). */
  approved?: boolean;
  groups: string[];
}

export interface StoredRoster {
  version: number;
  contacts: Record<string, Contact>;
  /** Subscription requests that wait: the stanza by bare JID. */
  requests: Record<string, string>;
}

export class Roster {
  readonly #host: Host;
  readonly #owner: string;
  readonly #contacts: Map<string, Contact>;
  readonly #requests: Map<string, string>;
  #version: number;

  constructor(host: Host, owner: string) {
    this.#host = host;
    this.#owner = owner;
    const stored = host.rosters.get(owner);
    this.#version = stored?.version ?? 0;
    this.#contacts = new Map(Object.entries(stored?.contacts ?? {}));
    this.#requests = new Map(Object.entries(stored?.requests ?? {}));
  }

  get version(): string {
    return String(this.#version);
  }

  get size(): number {
    return this.#contacts.size;
  }

  contacts(): Iterable<Contact> {
    return this.#contacts.values();
  }

  find(jid: string): Contact | undefined {
    return this.#contacts.get(jid);
  }

  /** The contact, made where there is none. Nothing is saved before `save`. */
  contact(jid: string): Contact {
    let contact = this.#contacts.get(jid);
    if (contact === undefined) {
      contact = { jid, name: null, subscription: 'none', asked: false, groups: [] };
      this.#contacts.set(jid, contact);
    }
    return contact;
  }

  remove(jid: string): void {
    this.#contacts.delete(jid);
  }

  requests(): Iterable<string> {
    return this.#requests.values();
  }

  hasRequest(jid: string): boolean {
    return this.#requests.has(jid);
  }

  /** Bounded like the roster itself. */
  addRequest(jid: string, stanza: string): void {
    if (this.#requests.size >= this.#host.limits.xmppRosterMax) return;
    this.#requests.set(jid, stanza);
    this.#store();
  }

  removeRequest(jid: string): boolean {
    const had = this.#requests.delete(jid);
    if (had) this.#store();
    return had;
  }

  /** Keeps what was changed, as a new version. */
  save(): void {
    this.#version++;
    this.#store();
  }

  /** Whether the contact may see this account's presence. */
  shows(jid: string): boolean {
    const state = this.#contacts.get(jid)?.subscription;
    return state === 'from' || state === 'both';
  }

  /** Whether this account sees the contact's presence. */
  sees(jid: string): boolean {
    const state = this.#contacts.get(jid)?.subscription;
    return state === 'to' || state === 'both';
  }

  #store(): void {
    this.#host.rosters.set(this.#owner, {
      version: this.#version,
      contacts: Object.fromEntries(this.#contacts),
      requests: Object.fromEntries(this.#requests),
    });
  }
}

/** A contact as it is written in a roster result or push. */
export function contactItem(contact: Contact): Element {
  const item = element('item', { jid: contact.jid, subscription: contact.subscription });
  if (contact.name !== null) item.attrs.name = contact.name;
  if (contact.asked) item.attrs.ask = 'subscribe';
  if (contact.approved === true) item.attrs['approved'] = 'true';
  for (const group of contact.groups) item.append(element('group', {}, group));
  return item;
}

export function rosterQuery(version: string | null, items: readonly Element[]): Element {
  return element(
    'query',
    { xmlns: NS.ROSTER, ...(version === null ? {} : { ver: version }) },
    ...items,
  );
}

/** With or without one of the two directions. */
export function withTo(state: SubscriptionState, on: boolean): SubscriptionState {
  const from = state === 'from' || state === 'both';
  return on ? (from ? 'both' : 'to') : from ? 'from' : 'none';
}

export function withFrom(state: SubscriptionState, on: boolean): SubscriptionState {
  const to = state === 'to' || state === 'both';
  return on ? (to ? 'both' : 'from') : to ? 'to' : 'none';
}
