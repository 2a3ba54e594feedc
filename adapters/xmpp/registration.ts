/**
 * In-band registration (XEP-0077): making an account before the login, where that is configured;
 * changing the password and giving up the account afterwards. Accounts of the configuration file
 * are changed there.
 */
import type { AccountChange } from '../../core/auth.ts';
import type { Peer } from '../../core/engine.ts';
import { childOf, childText, type Element, element, elementsOf } from './element.ts';
import type { Host } from './host.ts';
import { foldLocal, unescapeLocal } from './jid.ts';
import { NS } from './namespaces.ts';
import type { ClientSession } from './session.ts';
import { type Condition, errorReply, resultReply } from './stanza-error.ts';

const HOUR_MS = 3_600_000;
/** Addresses that are remembered for their registrations. */
const ADDRESSES_MAX = 10_000;
const PASSWORD_BYTES_MAX = 1023;

const REFUSALS: Readonly<Record<Exclude<AccountChange, 'done'>, Condition>> = {
  exists: 'conflict',
  unknown: 'registration-required',
  configured: 'not-allowed',
};

/** What a client may ask for, and what the answer makes of its connection. */
export interface RegistrationAnswer {
  readonly answer: Element;
  /** The account is gone: its sessions are to end once this is answered. */
  readonly removed: boolean;
}

/** A new account with the permissions that are configured for such. */
export function addAccount(host: Host, user: string, password: string): Promise<AccountChange> {
  const { vhost, registeredPermissions } = host.options;
  const permissions = { [vhost]: registeredPermissions };
  return host.context.accounts.add(user, password, { tags: [], permissions });
}

export class Registration {
  readonly #host: Host;
  /** By the client's address: how many accounts it made, and since when that is counted. */
  readonly #made = new Map<string, { since: number; count: number }>();

  constructor(host: Host) {
    this.#host = host;
  }

  /** Before the login (XEP-0077 3.1). */
  async stranger(iq: Element, query: Element, peer: Peer): Promise<Element> {
    if (!this.#host.options.allowRegistration) return errorReply(iq, 'service-unavailable');
    if (iq.attrs.type === 'get') return resultReply(iq, fields());
    if (childOf(query, 'remove', NS.REGISTER) !== undefined) {
      return errorReply(iq, 'unexpected-request');
    }
    const given = credentials(query);
    if (given === null) return errorReply(iq, 'not-acceptable');
    // Before the keys are derived, which is what costs.
    if (!this.#mayRegister(peer)) return errorReply(iq, 'resource-constraint');
    const change = await addAccount(this.#host, given.user, given.password);
    if (change !== 'done') return errorReply(iq, REFUSALS[change]);
    this.#host.log.info({ user: given.user, peer: peer.address }, 'account registered');
    return resultReply(iq);
  }

  /** Of a client that is logged in, about its own account (3.2, 3.3). */
  async own(session: ClientSession, iq: Element, query: Element): Promise<RegistrationAnswer> {
    const stays = (answer: Element): RegistrationAnswer => ({ answer, removed: false });
    const { accounts } = this.#host.context;
    const user = session.engine.principal.name;
    if (session.account.temporary) return stays(errorReply(iq, 'not-allowed'));
    if (iq.attrs.type === 'get') return stays(resultReply(iq, registered(session.jid.local)));
    if (childOf(query, 'remove', NS.REGISTER) !== undefined) {
      if (elementsOf(query).length > 1) return stays(errorReply(iq, 'bad-request'));
      const change = accounts.remove(user);
      if (change !== 'done') return stays(errorReply(iq, REFUSALS[change]));
      this.#host.log.info({ user }, 'account given up');
      return { answer: resultReply(iq), removed: true };
    }
    const given = credentials(query);
    if (given === null) return stays(errorReply(iq, 'bad-request'));
    if (given.user !== user) return stays(errorReply(iq, 'not-allowed'));
    const change = await accounts.setPassword(user, given.password);
    return stays(change === 'done' ? resultReply(iq) : errorReply(iq, REFUSALS[change]));
  }

  #mayRegister({ address }: Peer): boolean {
    const now = this.#host.context.clock.now();
    const client = address.slice(0, address.lastIndexOf(':'));
    let made = this.#made.get(client);
    if (made === undefined || now - made.since >= HOUR_MS) {
      made = { since: now, count: 0 };
      this.#made.delete(client);
      this.#made.set(client, made);
      if (this.#made.size > ADDRESSES_MAX) {
        const [oldest = ''] = this.#made.keys();
        this.#made.delete(oldest);
      }
    }
    return ++made.count <= this.#host.limits.xmppRegistrationsMax;
  }
}

function fields(): Element {
  return element(
    'query',
    { xmlns: NS.REGISTER },
    element('instructions', {}, 'Choose a user name and a password.'),
    element('username'),
    element('password'),
  );
}

function registered(local: string): Element {
  return element(
    'query',
    { xmlns: NS.REGISTER },
    element('registered'),
    element('username', {}, local),
    element('password'),
  );
}

/** Null where one of the two is missing or cannot be. */
function credentials(query: Element): { readonly user: string; readonly password: string } | null {
  const local = foldLocal(childText(query, 'username', NS.REGISTER) ?? '');
  const password = childText(query, 'password', NS.REGISTER) ?? '';
  if (local === null || local === '' || password === '') return null;
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) return null;
  return { user: unescapeLocal(local), password };
}
