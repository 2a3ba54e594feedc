/**
 * Which messages of a stream a consumer wants: RabbitMQ's `x-stream-filter`. There whole chunks are
 * passed over by a Bloom filter, and clients look again; here each message is looked at, and what
 * arrives is what was asked for.
 */
import type { ConsumeSpec } from '../../engine.ts';
import { plain } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import { header, type Message } from '../../message.ts';

/** The publisher's header. */
const VALUE_HEADER = 'x-stream-filter-value';
/** A text, or an array of texts: any of them. */
const FILTER_ARGUMENT = 'x-stream-filter';
/** True: messages without the header too. */
const UNFILTERED_ARGUMENT = 'x-stream-match-unfiltered';

/** With a filter that lets through what both its own and its stream filter do. `where` names the queue. */
export function filtered(spec: ConsumeSpec, where: string): ConsumeSpec {
  const given = spec.arguments.get(FILTER_ARGUMENT);
  if (given === undefined) return spec;
  const values = new Set(Array.isArray(given) ? given : [given]);
  for (const value of values) {
    if (typeof value !== 'string') throw refused(FILTER_ARGUMENT, where);
  }
  const unfiltered = spec.arguments.get(UNFILTERED_ARGUMENT) ?? false;
  if (typeof unfiltered !== 'boolean') throw refused(UNFILTERED_ARGUMENT, where);
  const own = spec.filter;
  const filter = (message: Message): boolean =>
    matches(message, values, unfiltered) && (own === undefined || own(message));
  return { ...spec, filter };
}

function matches(message: Message, values: ReadonlySet<unknown>, unfiltered: boolean): boolean {
  const value = header(message.properties.headers, VALUE_HEADER);
  return value === undefined ? unfiltered : values.has(plain(value));
}

function refused(argument: string, where: string): BrokerError {
  return new BrokerError('precondition-failed', `invalid arg '${argument}' for ${where}`);
}
