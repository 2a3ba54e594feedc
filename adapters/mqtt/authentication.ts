/**
 * Enhanced authentication (MQTT 5 section 4.12) with SCRAM: at CONNECT, and again as often as the
 * client asks for it.
 *
 *   IDLE ── client-first ──▶ CHALLENGED ── client-final ──▶ IDLE
 *
 * A CONNECT without Authentication Data gets an empty challenge first. Whatever is wrong with an
 * exchange throws, or rejects with, `Refusal`; which user names exist is not told.
 */
import type { ScramHash, ScramKeys } from '../../core/auth.ts';
import type { Eventually } from '../../core/engine.ts';
import { randomName } from '../../core/random.ts';
import {
  decoyKeys,
  parseClientFirst,
  type ScramStart,
  serverFirst,
  verifyClientFinal,
} from '../../core/scram.ts';
import type { Context } from '../adapter.ts';
import { chain } from './chain.ts';
import { type Identity, identityOf, Refusal } from './handshake.ts';
import type { MqttOptions } from './options.ts';
import { Reason } from './reason.ts';

const HASHES: ReadonlyMap<string, ScramHash> = new Map([
  ['SCRAM-SHA-1', 'sha1'],
  ['SCRAM-SHA-256', 'sha256'],
]);

/** Longest message of an exchange, in bytes: names and proofs are short. */
const DATA_BYTES_MAX = 4096;

export interface AuthStep {
  /** What the client is told. */
  readonly data: Buffer;
  /** Who it is; null: the exchange goes on. */
  readonly identity: Identity | null;
}

interface Challenge {
  readonly start: ScramStart;
  readonly identity: Identity;
  readonly first: string;
  readonly keys: ScramKeys;
  /** The keys are made up: there is no such user. */
  readonly decoy: boolean;
}

const NOTHING = Buffer.alloc(0);

export class Authentication {
  readonly method: string;
  readonly #hash: ScramHash;
  readonly #context: Context;
  readonly #options: MqttOptions;
  readonly #decoySecret: Buffer;
  #running = false;
  #challenge: Challenge | null = null;

  /** Throws `Refusal` for a method that is not known [MQTT-4.12.0-1]. */
  constructor(method: string, context: Context, options: MqttOptions, decoySecret: Buffer) {
    const hash = HASHES.get(method);
    if (hash === undefined) {
      throw new Refusal(Reason.BAD_AUTHENTICATION_METHOD, `authentication method '${method}'`);
    }
    this.method = method;
    this.#hash = hash;
    this.#context = context;
    this.#options = options;
    this.#decoySecret = decoySecret;
  }

  /** Whether an exchange is under way. */
  get running(): boolean {
    return this.#running;
  }

  /** Begins an exchange, with the client's first data where there are any. */
  begin(data: Buffer | undefined): Eventually<AuthStep> {
    this.#running = true;
    this.#challenge = null;
    if (data === undefined || data.length === 0) return { data: NOTHING, identity: null };
    return this.#first(data);
  }

  /** Goes on with what the client answered. */
  proceed(data: Buffer | undefined): Eventually<AuthStep> {
    const answer = data ?? NOTHING;
    return this.#challenge === null ? this.#first(answer) : this.#final(this.#challenge, answer);
  }

  #first(data: Buffer): Eventually<AuthStep> {
    const start = parseClientFirst(textOf(data));
    if (start === null) throw refused('not the first message of a SCRAM exchange');
    const identity = identityOf(start.user, this.#options);
    const { user } = identity;
    // RFC 5802 section 5.1: nobody acts for somebody else here.
    if (start.authzid !== '' && start.authzid !== start.user) {
      throw refused(`user '${user}' as '${start.authzid}'`);
    }
    const { authenticator, random } = this.#context;
    return chain(authenticator.scram(user, this.#hash), (known) => {
      const keys = known ?? decoyKeys(user, this.#hash, this.#decoySecret);
      const first = serverFirst(start, keys, randomName(random));
      this.#challenge = { start, identity, first, keys, decoy: known === null };
      return { data: Buffer.from(first), identity: null };
    });
  }

  #final({ start, identity, first, keys, decoy }: Challenge, data: Buffer): AuthStep {
    const signature = verifyClientFinal(textOf(data), start, first, keys, this.#hash);
    if (signature === null || signature === 'malformed' || decoy) {
      throw refused(`login of user '${identity.user}' refused`);
    }
    this.#running = false;
    this.#challenge = null;
    return { data: Buffer.from(`v=${signature}`), identity };
  }
}

function textOf(data: Buffer): string {
  if (data.length > DATA_BYTES_MAX) throw refused('too much authentication data');
  return data.toString('utf8');
}

function refused(why: string): Refusal {
  return new Refusal(Reason.NOT_AUTHORIZED, why);
}
