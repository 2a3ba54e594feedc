/** What a CONNECT (or STOMP) frame asks for. */

import { StompError } from './errors.ts';
import type { Frame } from './frame.ts';
import * as names from './names.ts';
import { VERSIONS, type Version } from './text.ts';

export interface Login {
  readonly version: Version;
  readonly user: string | undefined;
  readonly passcode: string;
  readonly host: string | undefined;
  readonly clientId: string | undefined;
  /** How often the client can send, and wants to hear, something; 0: not at all. Milliseconds. */
  readonly sendsMs: number;
  readonly wantsMs: number;
}

/** What a client asks for that sends no CONNECT. */
export const NO_LOGIN: Login = {
  version: 0,
  user: undefined,
  passcode: '',
  host: undefined,
  clientId: undefined,
  sendsMs: 0,
  wantsMs: 0,
};

/** Shorter intervals are lengthened: one beat is a packet for the network and a turn for us. */
const HEART_BEAT_MIN_MS = 100;
const HEART_BEAT_MAX_MS = 2 ** 31 - 1;

/**
 * Reads a login; sets the frame's version, which decides how its values are read. Throws
 * StompError.
 */
export function readLogin(frame: Frame): Login {
  const version = negotiate(frame.get(names.ACCEPT_VERSION));
  frame.version = version;
  const [sendsMs, wantsMs] = heartBeats(frame.get(names.HEART_BEAT));
  return {
    version,
    user: frame.get(names.LOGIN),
    passcode: frame.get(names.PASSCODE) ?? '',
    host: frame.get(names.HOST),
    clientId: frame.get(names.CLIENT_ID),
    sendsMs,
    wantsMs,
  };
}

/** The highest version that both know; a client that names none is of version 1.0. */
function negotiate(accepted: string | undefined): Version {
  if (accepted === undefined) return 0;
  const offered = accepted.split(',').map((version) => version.trim());
  for (const version of [2, 1, 0] as const) {
    if (offered.includes(VERSIONS[version])) return version;
  }
  throw new StompError('Version mismatch', `Supported versions are ${VERSIONS.join(',')}\n`);
}

function heartBeats(header: string | undefined): [sendsMs: number, wantsMs: number] {
  if (header === undefined) return [0, 0];
  const given = /^\s*(\d{1,15})\s*,\s*(\d{1,15})\s*$/.exec(header);
  if (given === null) {
    throw new StompError('Invalid header', 'CONNECT must include a valid "heart-beat" header\n');
  }
  return [interval(Number(given[1])), interval(Number(given[2]))];
}

function interval(givenMs: number): number {
  if (givenMs === 0) return 0;
  return Math.min(Math.max(givenMs, HEART_BEAT_MIN_MS), HEART_BEAT_MAX_MS);
}

/**
 * The vhost that a `host` header means. Clients often put the server's name or address there: what
 * can be one, and is no vhost, stands for `fallback`. Null: it can only have meant a vhost.
 */
export function vhostOf(
  host: string | undefined,
  vhosts: readonly string[],
  fallback: string,
): string | null {
  if (host === undefined || host === '') return fallback;
  if (vhosts.includes(host)) return host;
  return /^[A-Za-z0-9._:[\]-]+$/.test(host) ? fallback : null;
}
