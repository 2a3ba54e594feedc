/**
 * Addresses of XMPP (RFC 7622): `local@domain/resource`, folded so that equal addresses are equal
 * strings. The local part is lower case and NFKC, the resource NFC.
 *
 * Names of the gateway (queues, users) that a local part may not contain go through `escapeLocal`:
 * XEP-0106 for the ten characters that it names, percent-encoding for what folding would change.
 */
export interface Jid {
  /** Empty: a server's or component's own address. */
  readonly local: string;
  readonly domain: string;
  /** Empty: a bare address. */
  readonly resource: string;
  /** `local@domain`, or the domain. */
  readonly bare: string;
  readonly full: string;
}

const PART_BYTES_MAX = 1023;
// RFC 7622 3.3.1, and white space and controls, which the profiles of section 3.2 disallow.
const BAD_LOCAL = /["&'/:<>@\s\u0000-\u001f\u007f-\u00a0]/;
const BAD_RESOURCE = /[\u0000-\u001f\u007f-\u009f]/;
const DOMAIN =
  /^(?:\[[0-9a-f:.]+\]|[\p{L}\p{N}_](?:[\p{L}\p{N}\p{M}_-]*[\p{L}\p{N}\p{M}_])?(?:\.[\p{L}\p{N}_](?:[\p{L}\p{N}\p{M}_-]*[\p{L}\p{N}\p{M}_])?)*)$/u;

export function makeJid(local: string, domain: string, resource: string): Jid {
  const bare = local === '' ? domain : `${local}@${domain}`;
  return { local, domain, resource, bare, full: resource === '' ? bare : `${bare}/${resource}` };
}

/** Addresses that were parsed lately: a conversation repeats its own on every stanza. */
const recent = new Map<string, Jid>();
const RECENT_MAX = 4096;
const RECENT_LENGTH_MAX = 256;

/** Null where the text is no address. */
export function parseJid(text: string): Jid | null {
  const known = recent.get(text);
  if (known !== undefined) return known;
  const jid = parse(text);
  if (jid === null || text.length > RECENT_LENGTH_MAX) return jid;
  if (recent.size === RECENT_MAX) recent.clear();
  recent.set(text, jid);
  return jid;
}

function parse(text: string): Jid | null {
  const slash = text.indexOf('/');
  const front = slash < 0 ? text : text.slice(0, slash);
  const at = front.indexOf('@');
  const local = at < 0 ? '' : foldLocal(front.slice(0, at));
  const domain = foldDomain(at < 0 ? front : front.slice(at + 1));
  const resource = slash < 0 ? '' : foldResource(text.slice(slash + 1));
  if (local === null || domain === null || resource === null) return null;
  if (at >= 0 && local === '') return null;
  if (slash >= 0 && resource === '') return null;
  return makeJid(local, domain, resource);
}

export function bareOf(jid: Jid): Jid {
  return jid.resource === '' ? jid : makeJid(jid.local, jid.domain, '');
}

export function withResource(jid: Jid, resource: string): Jid {
  return makeJid(jid.local, jid.domain, resource);
}

export function foldLocal(text: string): string | null {
  const folded = isAscii(text) ? text.toLowerCase() : text.normalize('NFKC').toLowerCase();
  return BAD_LOCAL.test(folded) || tooLong(folded) ? null : folded;
}

export function foldDomain(text: string): string | null {
  const folded = text.normalize('NFKC').toLowerCase().replace(/\.$/, '');
  return DOMAIN.test(folded) && !tooLong(folded) ? folded : null;
}

export function foldResource(text: string): string | null {
  const folded = isAscii(text) ? text : text.normalize('NFC');
  return BAD_RESOURCE.test(folded) || tooLong(folded) ? null : folded;
}

function isAscii(text: string): boolean {
  return !/[^\u0000-\u007f]/.test(text);
}

function tooLong(text: string): boolean {
  return text.length > PART_BYTES_MAX || Buffer.byteLength(text) > PART_BYTES_MAX;
}

// XEP-0106 section 3; the backslash is always escaped, so that unescaping is unambiguous.
const ESCAPES: Readonly<Record<string, string>> = {
  ' ': '\\20',
  '"': '\\22',
  '&': '\\26',
  "'": '\\27',
  '/': '\\2f',
  ':': '\\3a',
  '<': '\\3c',
  '>': '\\3e',
  '@': '\\40',
  '\\': '\\5c',
};

/** Any text as a local part. The inverse is `unescapeLocal`. */
export function escapeLocal(text: string): string {
  let escaped = '';
  let index = 0;
  for (const character of text) {
    const atEdge = index === 0 || index + character.length === text.length;
    index += character.length;
    if (character === ' ' && atEdge) escaped += '%20';
    else if (ESCAPES[character] !== undefined) escaped += ESCAPES[character];
    else escaped += isStable(character) ? character : percentEncode(character);
  }
  // Characters that are stable alone may still compose with each other.
  return foldLocal(escaped) === escaped ? escaped : Array.from(text, escapeStrictly).join('');
}

/** The text that a local part stands for. */
export function unescapeLocal(local: string): string {
  if (!local.includes('\\') && !local.includes('%')) return local;
  const bytes = local.replace(/\\(20|22|26|27|2f|3a|3c|3e|40|5c)/g, (_, code: string) =>
    percentEncode(String.fromCharCode(Number.parseInt(code, 16))),
  );
  return bytes.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run;
    }
  });
}

function isStable(character: string): boolean {
  if (character === '%' || BAD_LOCAL.test(character)) return false;
  return character.normalize('NFKC').toLowerCase() === character;
}

function escapeStrictly(character: string): string {
  if (ESCAPES[character] !== undefined && character !== ' ') return ESCAPES[character];
  return /[a-z0-9._~!$*()+,;=?^`{|}#[\]-]/.test(character) ? character : percentEncode(character);
}

/** Lone surrogates, which have no bytes, become U+FFFD. */
function percentEncode(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) encoded += `%${byte.toString(16).padStart(2, '0')}`;
  return encoded;
}
