/**
 * SASL on one stream (RFC 6120 6): SCRAM-SHA-256 and SCRAM-SHA-1, over TLS with channel binding
 * too (`-PLUS`), PLAIN, and where they are possible EXTERNAL and ANONYMOUS.
 *
 *     IDLE → auth → (challenge → response)* → success | failure → IDLE
 */
import type {
  Authenticator,
  Credentials,
  Principal,
  ScramHash,
  ScramKeys,
} from '../../core/auth.ts';
import type { Eventually, Peer } from '../../core/engine.ts';
import { after } from '../../core/eventually.ts';
import { type Random, randomName } from '../../core/random.ts';
import {
  decoyKeys,
  parseClientFirst,
  type ScramStart,
  serverFirst,
  verifyClientFinal,
} from '../../core/scram.ts';
import { parseJid, unescapeLocal } from './jid.ts';

/** RFC 6120 6.5. */
export type SaslFailure =
  | 'aborted'
  | 'encryption-required'
  | 'incorrect-encoding'
  | 'invalid-authzid'
  | 'invalid-mechanism'
  | 'malformed-request'
  | 'not-authorized'
  | 'temporary-auth-failure';

export interface SaslEvents {
  challenge(data: string): void;
  /** `temporary`: an anonymous client's name, which is nobody's afterwards. */
  succeeded(principal: Principal, data: string, temporary: boolean): void;
  failed(failure: SaslFailure, user: string): void;
}

/** What logins depend on beside names and secrets. */
export interface SaslSetting {
  readonly authenticator: Authenticator;
  readonly peer: Peer;
  readonly random: Random;
  readonly domain: string;
  /** Makes up SCRAM keys for users that do not exist. */
  readonly decoySecret: Buffer;
  /** Whose permissions clients without an account have; null: none are let in. */
  readonly anonymousUser: string | null;
  /** See `Transport.channelBinding`. */
  channelBinding(name: string): Buffer | null;
  /** The user that the client's certificate names; null where there is none that counts. */
  certified(): string | null;
}

/** The strongest first (RFC 6120 6.3.3). */
const MECHANISMS = [
  'SCRAM-SHA-256-PLUS',
  'SCRAM-SHA-1-PLUS',
  'SCRAM-SHA-256',
  'SCRAM-SHA-1',
  'EXTERNAL',
  'PLAIN',
  'ANONYMOUS',
] as const;
type Mechanism = (typeof MECHANISMS)[number];

/** The best first; RFC 5802 section 6.1 would have `tls-unique` first, RFC 9266 replaces it. */
const BINDINGS = ['tls-exporter', 'tls-unique', 'tls-server-end-point'] as const;

/** Random bytes in the name of an anonymous client. */
const ANONYMOUS_BYTES = 12;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

interface ScramExchange {
  readonly hash: ScramHash;
  /** With channel binding. */
  readonly plus: boolean;
  start: ScramStart | null;
  first: string;
  keys: ScramKeys | null;
  /** The keys are made up: there is no such user. */
  decoy: boolean;
}

export class Sasl {
  readonly #setting: SaslSetting;
  readonly #events: SaslEvents;
  #mechanism: Mechanism | null = null;
  #scram: ScramExchange | null = null;

  constructor(setting: SaslSetting, events: SaslEvents) {
    this.#setting = setting;
    this.#events = events;
  }

  /** What this connection may log in with now. */
  mechanisms(): Mechanism[] {
    return MECHANISMS.filter((name) => this.#possible(name));
  }

  /** Channel bindings that this connection has (XEP-0440). */
  bindings(): string[] {
    return BINDINGS.filter((name) => this.#setting.channelBinding(name) !== null);
  }

  /** `<auth/>`; a pending answer means that the caller must wait with the stream's input. */
  auth(mechanism: string, data: string): Eventually<void> {
    // A second <auth/> ends the first exchange (RFC 6120 6.4.2).
    this.#reset();
    const known = this.mechanisms().find((name) => name === mechanism);
    if (known === undefined) return this.#fail('invalid-mechanism', '');
    this.#mechanism = known;
    this.#scram = known.startsWith('SCRAM-')
      ? {
          hash: known.startsWith('SCRAM-SHA-1') ? 'sha1' : 'sha256',
          plus: known.endsWith('-PLUS'),
          start: null,
          first: '',
          keys: null,
          decoy: false,
        }
      : null;
    // A client that has nothing to say first is asked; ANONYMOUS may say nothing at all.
    if (data === '' && known !== 'ANONYMOUS') {
      this.#events.challenge('');
      return;
    }
    return this.#step(data === '=' ? '' : data);
  }

  /** `<response/>`. */
  response(data: string): Eventually<void> {
    if (this.#mechanism === null) return this.#fail('malformed-request', '');
    return this.#step(data);
  }

  /** `<abort/>`. */
  abort(): void {
    this.#fail('aborted', '');
  }

  #step(data: string): Eventually<void> {
    const text = data.replace(/\s+/g, '');
    if (!BASE64.test(text)) return this.#fail('incorrect-encoding', '');
    const bytes = Buffer.from(text, 'base64');
    if (this.#mechanism === 'EXTERNAL') return this.#external(bytes.toString('utf8'));
    if (this.#mechanism === 'ANONYMOUS') return this.#anonymous();
    if (this.#scram === null) return this.#plain(bytes);
    return this.#scram.start === null
      ? this.#scramFirst(this.#scram, bytes.toString('utf8'))
      : this.#scramFinal(this.#scram, this.#scram.start, bytes.toString('utf8'));
  }

  /** RFC 4616. */
  #plain(bytes: Buffer): Eventually<void> {
    const parts = bytes.toString('utf8').split('\0');
    const [authzid = '', authcid = '', password = ''] = parts;
    if (parts.length !== 3 || authcid === '' || password === '') {
      return this.#fail('malformed-request', authcid);
    }
    const user = this.#userOf(authcid);
    if (!this.#mayActAs(authzid, user)) return this.#fail('invalid-authzid', user);
    return this.#authenticate({ kind: 'password', user, password }, '');
  }

  /** RFC 4422 appendix A, XEP-0178 2: who the certificate says. */
  #external(authzid: string): Eventually<void> {
    const certified = this.#setting.certified();
    if (certified === null) return this.#fail('not-authorized', '');
    const user = this.#userOf(certified);
    if (!this.#mayActAs(authzid, user)) return this.#fail('invalid-authzid', user);
    return this.#authenticate({ kind: 'trusted', user }, '');
  }

  /** RFC 4505, XEP-0175: a name that nobody had before, with the permissions of a user. */
  #anonymous(): Eventually<void> {
    const user = this.#setting.anonymousUser;
    if (user === null) return this.#fail('invalid-mechanism', '');
    const name = `anonymous-${this.#setting.random.bytes(ANONYMOUS_BYTES).toString('hex')}`;
    return this.#authenticate({ kind: 'trusted', user }, '', name);
  }

  #scramFirst(exchange: ScramExchange, text: string): Eventually<void> {
    const start = parseClientFirst(text, exchange.plus);
    if (start === null) return this.#fail('malformed-request', '');
    // RFC 5802 section 6: `y` where binding is offered tells of somebody who hid it from the client.
    if (start.binding.flag === 'y' && this.bindings().length > 0) {
      return this.#fail('not-authorized', '');
    }
    const user = this.#userOf(start.user);
    if (!this.#mayActAs(start.authzid, user)) return this.#fail('invalid-authzid', user);
    exchange.start = start;
    return after(
      () => this.#setting.authenticator.scram(user, exchange.hash),
      (keys) => {
        exchange.decoy = keys === null;
        exchange.keys = keys ?? decoyKeys(user, exchange.hash, this.#setting.decoySecret);
        exchange.first = serverFirst(start, exchange.keys, randomName(this.#setting.random));
        this.#events.challenge(Buffer.from(exchange.first).toString('base64'));
      },
      () => this.#fail('temporary-auth-failure', user),
    );
  }

  #scramFinal(exchange: ScramExchange, start: ScramStart, text: string): Eventually<void> {
    const user = this.#userOf(start.user);
    if (exchange.keys === null) return this.#fail('malformed-request', user);
    const { first, keys, hash, plus } = exchange;
    const bound = plus ? this.#setting.channelBinding(start.binding.name) : null;
    const signature = verifyClientFinal(text, start, first, keys, hash, bound);
    if (signature === 'malformed') return this.#fail('malformed-request', user);
    if (signature === null || exchange.decoy) return this.#fail('not-authorized', user);
    const data = Buffer.from(`v=${signature}`).toString('base64');
    return this.#authenticate({ kind: 'trusted', user }, data);
  }

  #authenticate(
    credentials: Credentials,
    data: string,
    anonymous: string | null = null,
  ): Eventually<void> {
    const { authenticator, peer } = this.#setting;
    return after(
      () => authenticator.authenticate(credentials, peer),
      (answer) => {
        if (answer === 'refused' || answer === 'unknown') {
          this.#fail('not-authorized', credentials.user);
          return;
        }
        this.#reset();
        const principal = anonymous === null ? answer : { ...answer, name: anonymous, tags: [] };
        this.#events.succeeded(principal, data, anonymous !== null);
      },
      () => this.#fail('temporary-auth-failure', credentials.user),
    );
  }

  /** Some clients give the whole bare JID as user name. */
  #userOf(name: string): string {
    const suffix = `@${this.#setting.domain}`;
    return name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  }

  /** RFC 6120 6.3.8: nobody acts for somebody else here. */
  #mayActAs(authzid: string, user: string): boolean {
    if (authzid === '') return true;
    const jid = parseJid(authzid);
    return jid !== null && jid.domain === this.#setting.domain && unescapeLocal(jid.local) === user;
  }

  #possible(name: Mechanism): boolean {
    if (name.endsWith('-PLUS')) return this.bindings().length > 0;
    if (name === 'EXTERNAL') return this.#setting.certified() !== null;
    return name !== 'ANONYMOUS' || this.#setting.anonymousUser !== null;
  }

  #fail(failure: SaslFailure, user: string): void {
    this.#reset();
    this.#events.failed(failure, user);
  }

  #reset(): void {
    this.#mechanism = null;
    this.#scram = null;
  }
}
