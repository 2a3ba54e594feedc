/**
 * What an address is: how each protocol writes it, what it is bound to now, and where a message
 * sent there would go and why. Asked over HTTP (`GET /explain`) and by the command
 * `rosettamq explain`; the protocols' grammars and the engine's state are passed in.
 */
import type { Engine, RouteView, StreamGroupView } from './engine.ts';
import type { Address } from './message.ts';

/** How one protocol writes addresses: `parse(describe(address))` is the address. */
export interface AddressForm {
  /** The protocol's name in the configuration: `mqtt`. */
  readonly protocol: string;
  /** Null where the protocol has no way to say it. */
  describe(address: Address): string | null;
  /** Null where the text is no address of this protocol. */
  parse(text: string): Address | null;
}

/** One meaning of what was asked about. */
export interface Explanation extends Address {
  /** Protocols that read the text so; none where the exchange and the key were given. */
  readonly readBy: readonly string[];
  /** By protocol; null where it has no way to say it. */
  readonly written: Readonly<Record<string, string | null>>;
  readonly route: RouteView;
}

export interface Question {
  readonly vhost: string;
  /** In any protocol's notation, or exactly. */
  readonly address: string | Address;
  /** Only this protocol's reading; null: everybody's. */
  readonly protocol: string | null;
}

/** The explanations of an address, one for each different reading; null for no such vhost. */
export function explain(
  { vhost, address, protocol }: Question,
  forms: readonly AddressForm[],
  engine: Engine,
): readonly Explanation[] | null {
  const readings =
    typeof address === 'string' ? read(address, protocol, forms) : [exactly(address)];
  if (!engine.admin.vhosts().includes(vhost)) return null;
  const explanations: Explanation[] = [];
  for (const { exchange, routingKey, readBy } of readings) {
    const route = engine.admin.route(vhost, { exchange, routingKey });
    const written = Object.fromEntries(
      forms.map((form) => [form.protocol, form.describe({ exchange, routingKey })]),
    );
    explanations.push({ exchange, routingKey, readBy, written, route });
  }
  return explanations;
}

interface Reading extends Address {
  readonly readBy: string[];
}

function exactly({ exchange, routingKey }: Address): Reading {
  return { exchange, routingKey, readBy: [] };
}

function read(text: string, protocol: string | null, forms: readonly AddressForm[]): Reading[] {
  const readings: Reading[] = [];
  for (const form of forms) {
    if (protocol !== null && form.protocol !== protocol) continue;
    const address = form.parse(text);
    if (address === null) continue;
    const known = readings.find(
      ({ exchange, routingKey }) =>
        exchange === address.exchange && routingKey === address.routingKey,
    );
    if (known === undefined) readings.push({ ...address, readBy: [form.protocol] });
    else known.readBy.push(form.protocol);
  }
  // Any text may be the name of a queue; where it looks like more, that comes first.
  const merely = ({ exchange, routingKey }: Reading): boolean =>
    exchange === '' && routingKey === text && /[/@]/.test(text);
  return [...readings.filter((each) => !merely(each)), ...readings.filter(merely)];
}

/** An explanation for people, as the command prints it. */
export function explanationText(explanation: Explanation): string {
  const { exchange, routingKey, readBy, written, route } = explanation;
  const reads = readBy.length === 1 ? 'reads' : 'read';
  const reader = readBy.length === 0 ? 'exactly' : `as ${readBy.join(' and ')} ${reads} it`;
  const lines = [`${nameOf(exchange)}, key '${routingKey}' (${reader})`, '', '  written'];
  for (const [protocol, text] of Object.entries(written)) {
    lines.push(`    ${protocol.padEnd(8)}${text ?? 'cannot say it'}`);
  }
  lines.push('', `  bindings of this exchange: ${route.bindingsTotal}`);
  for (const { destination, toExchange, routingKey: pattern, matches } of route.bindings) {
    const target = `${toExchange ? 'exchange' : 'queue'} '${destination}'`;
    lines.push(`    ${matches ? '*' : ' '} '${pattern}' to ${target}`);
  }
  if (route.bindings.length < route.bindingsTotal) lines.push('      and more');
  if (route.delayed > 0) lines.push('', `  ${route.delayed} messages wait in it for their time`);
  lines.push('', `  a message sent there now ${route.verdict}`);
  for (const { name, type, ready, consumers, because, groups } of route.queues) {
    lines.push(`    queue '${name}' (${type}, ${ready} ready, ${consumers} consumers)`);
    for (const reason of because) lines.push(`      because ${reason}`);
    for (const group of groups ?? []) lines.push(`      ${groupText(group)}`);
  }
  return `${lines.join('\n')}\n`;
}

function groupText({ name, offset, behind, consumers }: StreamGroupView): string {
  return `group '${name}' is at offset ${offset}, ${behind} behind, ${consumers} consumers`;
}

function nameOf(exchange: string): string {
  return exchange === '' ? 'the default exchange' : `exchange '${exchange}'`;
}
