/**
 * How header names and values are written in each version: STOMP 1.0 has no escapes, 1.1 has
 * `\n`, `\c` and `\\`, 1.2 adds `\r` (STOMP 1.1 and 1.2, "Value Encoding"). CONNECT and CONNECTED
 * have none in any version.
 */

/** 1.0, 1.1, 1.2. */
export type Version = 0 | 1 | 2;

export const VERSIONS = ['1.0', '1.1', '1.2'] as const;

const PLAIN: Readonly<Record<string, string>> = { n: '\n', c: ':', '\\': '\\', r: '\r' };
const ESCAPED: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  ':': '\\c',
  '\\': '\\\\',
  // No version can carry a NUL in a header: it becomes the character that stands for it.
  '\0': '\u2400',
};

/** The inverse of `escapeText`; unknown sequences were refused by the decoder. */
export function unescapeText(text: string, version: Version): string {
  if (version === 0 || !text.includes('\\')) return text;
  return text.replace(/\\(.)/gs, (sequence, letter: string) => PLAIN[letter] ?? sequence);
}

const UNSAFE = [/[\n\r\0]/g, /[\n:\\\0]/g, /[\n\r:\\\0]/g] as const;

/**
 * A value as `version` writes it. In 1.0 line ends are written as 1.2 has them, though its clients
 * will not undo it: raw, they would end the header and begin another.
 */
export function escapeText(text: string, version: Version): string {
  return text.replace(UNSAFE[version], (character) => ESCAPED[character] ?? character);
}

/** A name as `version` writes it: a colon would end it, in 1.0 too. */
export function escapeName(name: string, version: Version): string {
  const text = escapeText(name, version);
  return version === 0 ? text.replaceAll(':', '\\c') : text;
}

/** Whether every backslash in `bytes` begins a sequence that `version` (1.1 or 1.2) defines. */
export function validEscapes(bytes: Buffer, start: number, end: number, version: Version): boolean {
  for (let at = start; at < end; at++) {
    if (bytes[at] !== 0x5c) continue;
    at++;
    if (at >= end) return false;
    const letter = bytes[at];
    if (letter === 0x6e || letter === 0x63 || letter === 0x5c) continue;
    if (letter === 0x72 && version === 2) continue;
    return false;
  }
  return true;
}
