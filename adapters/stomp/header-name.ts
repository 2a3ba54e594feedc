/**
 * Header names that the adapter knows, each with a number. The decoder gives each header line its
 * name's number, once, so that looking a header up is looking into a table.
 */

/** A known name; made by `headerName` only. */
export interface HeaderName {
  readonly text: string;
  readonly bytes: Buffer;
  readonly number: number;
}

/** More than there are names. */
export const HEADER_NAMES_MAX = 128;
/** The number of every name that is not known. */
export const UNKNOWN = -1;

const known = new Map<string, HeaderName>();
const byLength: HeaderName[][] = [];

/** The known name `text`; the same one however often it is asked for. */
export function headerName(text: string): HeaderName {
  let name = known.get(text);
  if (name === undefined) {
    if (known.size === HEADER_NAMES_MAX) throw new Error('HEADER_NAMES_MAX is too small');
    name = { text, bytes: Buffer.from(text, 'latin1'), number: known.size };
    known.set(text, name);
    while (byLength.length <= text.length) byLength.push([]);
    byLength[text.length]?.push(name);
  }
  return name;
}

/** What most frames of clients begin with. */
const COMMANDS = [
  'SEND',
  'ACK',
  'NACK',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'BEGIN',
  'COMMIT',
  'ABORT',
].map((text) => ({ text, bytes: Buffer.from(text, 'latin1') }));

/** The command that is written at `start`. */
export function commandAt(bytes: Buffer, start: number, length: number): string {
  for (const command of COMMANDS) {
    if (command.bytes.length === length && isName(bytes, start, command.bytes)) return command.text;
  }
  return bytes.toString('latin1', start, start + length);
}

/** The number of the name that is written at `start`. */
export function numberOfName(bytes: Buffer, start: number, length: number): number {
  const candidates = byLength[length];
  if (candidates === undefined) return UNKNOWN;
  for (const name of candidates) if (isName(bytes, start, name.bytes)) return name.number;
  return UNKNOWN;
}

function isName(bytes: Buffer, start: number, name: Buffer): boolean {
  for (let at = 0; at < name.length; at++) if (bytes[start + at] !== name[at]) return false;
  return true;
}
