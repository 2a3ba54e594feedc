import { parseActiveMq } from './activemq.ts';
import { type Destination, type Dialect, parseDestination } from './destination.ts';

/** Reads a destination as a dialect has it. Throws StompError. */
export function parse(dialect: Dialect, text: string): Destination {
  return dialect === 'activemq' ? parseActiveMq(text) : parseDestination(text);
}
