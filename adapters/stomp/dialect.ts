import { activeMqDestination, parseActiveMq } from './activemq.ts';
import { type Destination, type Dialect, destinationOf, parseDestination } from './destination.ts';

/** Reads a destination as a dialect has it. Throws StompError. */
export function parse(dialect: Dialect, text: string): Destination {
  return dialect === 'activemq' ? parseActiveMq(text) : parseDestination(text);
}

/** A canonical address as a dialect writes it; `slashes`: words of topics are separated so. */
export function shown(
  dialect: Dialect,
  exchange: string,
  routingKey: string,
  slashes: boolean,
): string {
  return dialect === 'activemq'
    ? activeMqDestination(exchange, routingKey)
    : destinationOf(exchange, routingKey, slashes);
}
