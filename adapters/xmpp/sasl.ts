/**
 * SASL on one stream (RFC 6120 6): PLAIN, SCRAM-SHA-1 and SCRAM-SHA-256.
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
  succeeded(principal: Principal, data: string): void;
  failed(failure: SaslFailure, user: string): void;
}

export const MECHANISMS = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'] as const;
export type Mechanism = (typeof MECHANISMS)[number];

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

interface ScramExchange {
  readonly hash: ScramHash;
  start: ScramStart | null;
  first: string;
  keys: ScramKeys | null;
  /** The keys are made up: there is no such user. */
  decoy: boolean;
}

export class Sasl {
  readonly #authenticator: Authenticator;
  readonly #peer: Peer;
  readonly #random: Random;
  readonly #domain: string;
  readonly #decoySecret: Buffer;
  readonly #events: SaslEvents;
  #mechanism: Mechanism | null = null;
  #scram: ScramExchange | null = null;

  constructor(
    authenticator: Authenticator,
    peer: Peer,
    random: Random,
    domain: string,
    decoySecret: Buffer,
    events: SaslEvents,
  ) {
    this.#authenticator = authenticator;
    this.#peer = peer;
    this.#random = random;
    this.#domain = domain;
    this.#decoySecret = decoySecret;
    this.#events = events;
  }

  /** `<auth/>`; a pending answer means that the caller must wait with the stream's input. */
  auth(mechanism: string, data: string): Eventually<void> {
    const known = MECHANISMS.find((name) => name === mechanism);
    if (known === undefined) return this.#fail('invalid-mechanism', '');
    this.#mechanism = known;
    this.#scram =
      known === 'PLAIN'
        ? null
        : {
            hash: known === 'SCRAM-SHA-1' ? 'sha1' : 'sha256',
            start: null,
            first: '',
            keys: null,
            decoy: false,
          };
    if (data === '') {
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

  #scramFirst(exchange: ScramExchange, text: string): Eventually<void> {
    const start = parseClientFirst(text);
    if (start === null) return this.#fail('malformed-request', '');
    const user = this.#userOf(start.user);
    if (!this.#mayActAs(start.authzid, user)) return this.#fail('invalid-authzid', user);
    exchange.start = start;
    return after(
      () => this.#authenticator.scram(user, exchange.hash),
      (keys) => {
        exchange.decoy = keys === null;
        exchange.keys = keys ?? decoyKeys(user, exchange.hash, this.#decoySecret);
        exchange.first = serverFirst(start, exchange.keys, randomName(this.#random));
        this.#events.challenge(Buffer.from(exchange.first).toString('base64'));
      },
      () => this.#fail('temporary-auth-failure', user),
    );
  }

  #scramFinal(exchange: ScramExchange, start: ScramStart, text: string): Eventually<void> {
    const user = this.#userOf(start.user);
    if (exchange.keys === null) return this.#fail('malformed-request', user);
    const signature = verifyClientFinal(text, start, exchange.first, exchange.keys, exchange.hash);
    if (signature === 'malformed') return this.#fail('malformed-request', user);
    if (signature === null || exchange.decoy) return this.#fail('not-authorized', user);
    const data = Buffer.from(`v=${signature}`).toString('base64');
    return this.#authenticate({ kind: 'trusted', user }, data);
  }

  #authenticate(credentials: Credentials, data: string): Eventually<void> {
    return after(
      () => this.#authenticator.authenticate(credentials, this.#peer),
      (answer) => {
        if (answer === 'refused' || answer === 'unknown') {
          this.#fail('not-authorized', credentials.user);
          return;
        }
        this.#reset();
        this.#events.succeeded(answer, data);
      },
      () => this.#fail('temporary-auth-failure', credentials.user),
    );
  }

  /** Some clients give the whole bare JID as user name. */
  #userOf(name: string): string {
    const suffix = `@${this.#domain}`;
    return name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  }

  /** RFC 6120 6.3.8: nobody acts for somebody else here. */
  #mayActAs(authzid: string, user: string): boolean {
    if (authzid === '') return true;
    const jid = parseJid(authzid);
    return jid !== null && jid.domain === this.#domain && unescapeLocal(jid.local) === user;
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
