/**
 * Accounts that are online, and the inboxes of those that are not (mapping, section 3: "a person").
 */
import { XMPP_EXCHANGE } from '../../core/address.ts';
import { type Eventually, NO_ARGUMENTS } from '../../core/engine.ts';
import { BrokerError, reasonOf } from '../../core/errors.ts';
import { isPending } from '../../core/eventually.ts';
import type { HeaderValue } from '../../core/message.ts';
import { Account } from './account.ts';
import type { Host } from './host.ts';
import { escapeLocal, type Jid, makeJid, parseJid, unescapeLocal } from './jid.ts';
import { quietly } from './quietly.ts';

const INBOX_PREFIX = 'xmpp-inbox-';

export class Accounts {
  readonly #host: Host;
  readonly #online = new Map<string, Account>();
  /** Local parts whose inbox is there. */
  readonly #prepared = new Set<string>();

  constructor(host: Host) {
    this.#host = host;
  }

  /** The account where somebody is logged in. */
  online(local: string): Account | undefined {
    return this.#online.get(local);
  }

  *all(): Iterable<Account> {
    yield* this.#online.values();
  }

  /** The account, for as long as somebody is logged in. */
  open(local: string): Account {
    let account = this.#online.get(local);
    if (account === undefined) {
      account = new Account(this.#host, this.jidOf(local));
      this.#online.set(local, account);
    }
    return account;
  }

  /** The account of somebody who need not be online: for its roster. */
  peek(local: string): Account {
    return this.#online.get(local) ?? new Account(this.#host, this.jidOf(local));
  }

  offline(account: Account): void {
    if (this.#online.get(account.jid.local) === account) this.#online.delete(account.jid.local);
  }

  /** Whether there is such a user. */
  exists(local: string): Eventually<boolean> {
    if (this.#online.has(local)) return true;
    return this.#host.context.authenticator.exists(unescapeLocal(local));
  }

  /** Makes sure of the inbox of a user. False where there is no such user. */
  prepare(local: string): Eventually<boolean> {
    if (this.#prepared.has(local)) return true;
    const exists = this.exists(local);
    if (isPending(exists)) return exists.then((found) => found && this.#declare(local));
    return exists && this.#declare(local);
  }

  /** Makes the inbox of somebody whom a message is for that found none. */
  claim(key: string): boolean {
    const jid = parseJid(key);
    if (jid === null || jid.domain !== this.#host.domains.host) return false;
    if (jid.local === '' || jid.resource !== '') return false;
    // Where there was an inbox, it has been deleted.
    this.forget(jid.local);
    try {
      const prepared = this.prepare(jid.local);
      // Where it takes time, the next message finds it.
      if (!isPending(prepared)) return prepared;
      quietly(this.#host.log, 'making an inbox', () => prepared);
    } catch (error) {
      this.#host.log.error({ jid: jid.bare, reason: reasonOf(error) }, 'no inbox');
    }
    return false;
  }

  /** The inbox is gone: it is declared again when it is needed. */
  forget(local: string): void {
    this.#prepared.delete(local);
  }

  inboxOf(local: string): string {
    return INBOX_PREFIX + this.jidOf(local).bare;
  }

  /** By the name that the account logs in with. */
  jidOfUser(name: string): Jid {
    return this.jidOf(escapeLocal(name));
  }

  jidOf(local: string): Jid {
    return makeJid(local, this.#host.domains.host, '');
  }

  /** The inbox of an anonymous client, which nothing of is kept. */
  prepareTemporary(local: string): Eventually<boolean> {
    return this.#declare(local, true);
  }

  #declare(local: string, temporary: boolean = false): Eventually<boolean> {
    const { system, limits } = this.#host;
    const name = this.inboxOf(local);
    const bounds = new Map<string, HeaderValue>([
      ['x-max-length', limits.xmppOfflineMessagesMax],
      ['x-overflow', 'reject-publish'],
    ]);
    const binding = {
      source: XMPP_EXCHANGE,
      destination: name,
      toExchange: false,
      routingKey: this.jidOf(local).bare,
      arguments: NO_ARGUMENTS,
    };
    const bound = (): boolean => {
      this.#prepared.add(local);
      return true;
    };
    const bind = (): Eventually<boolean> => {
      const done = system.bind(binding);
      return isPending(done) ? done.then(bound) : bound();
    };
    const declare = (): Eventually<unknown> =>
      system.declareQueue(
        {
          name,
          durable: !temporary,
          exclusive: temporary,
          autoDelete: false,
          arguments: bounds,
        },
        false,
      );
    try {
      const declared = declare();
      return isPending(declared) ? declared.catch(unlessDifferent).then(bind) : bind();
    } catch (error) {
      unlessDifferent(error);
      return bind();
    }
  }
}

/** An inbox from before, under another limit of the configuration, stays as it is. */
function unlessDifferent(error: unknown): void {
  if (!(error instanceof BrokerError) || error.code !== 'precondition-failed') throw error;
}
