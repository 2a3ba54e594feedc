/** Redeclaring must ask for what is there: the differences that RabbitMQ refuses, in its words. */
import type { ExchangeSpec, QueueSpec } from '../engine.ts';
import { isInteger, plain, toText, typeNameOf } from '../envelope.ts';
import { BrokerError } from '../errors.ts';
import type { HeaderTable, HeaderValue } from '../message.ts';

export function requireSameExchange(
  current: ExchangeSpec,
  asked: ExchangeSpec,
  vhost: string,
): void {
  const where = `exchange '${current.name}' in vhost '${vhost}'`;
  requireSame(where, 'type', current.type, asked.type);
  requireSame(where, 'durable', current.durable, asked.durable);
  requireSame(where, 'auto_delete', current.autoDelete, asked.autoDelete);
  requireSame(where, 'internal', current.internal, asked.internal);
  requireSameArguments(where, ['alternate-exchange'], current.arguments, asked.arguments);
}

export function requireSameQueue(
  current: QueueSpec,
  asked: QueueSpec,
  names: readonly string[],
  vhost: string,
): void {
  const where = `queue '${current.name}' in vhost '${vhost}'`;
  // RabbitMQ looks at who may use it first: another exclusiveness is a lock, not a difference.
  if (current.exclusive !== asked.exclusive) throw lockedQueue(current.name, vhost);
  requireSame(where, 'durable', current.durable, asked.durable);
  requireSame(where, 'auto_delete', current.autoDelete, asked.autoDelete);
  requireSameArguments(where, names, current.arguments, asked.arguments);
}

/** An alternate exchange is named by a string. */
export function requireAlternate({ name, arguments: values }: ExchangeSpec, vhost: string): void {
  const alternate = values.get('alternate-exchange');
  if (alternate === undefined || typeof alternate === 'string') return;
  const type = typeNameOf(alternate);
  throw new BrokerError(
    'precondition-failed',
    `invalid type '${type}' for arg 'alternate-exchange' in exchange '${name}' in vhost '${vhost}'`,
  );
}

/** What is said to whom an exclusive queue is not theirs. */
export function lockedQueue(name: string, vhost: string): BrokerError {
  return new BrokerError(
    'resource-locked',
    `cannot obtain exclusive access to locked queue '${name}' in vhost '${vhost}'. It could be ` +
      'originally declared on another connection or the exclusive property value does not match ' +
      'that of the original declaration.',
  );
}

function requireSame<T extends string | boolean>(
  where: string,
  name: string,
  current: T,
  asked: T,
): void {
  if (current === asked) return;
  throw new BrokerError(
    'precondition-failed',
    `inequivalent arg '${name}' for ${where}: received '${asked}' but current is '${current}'`,
  );
}

function requireSameArguments(
  where: string,
  names: readonly string[],
  current: HeaderTable,
  asked: HeaderTable,
): void {
  for (const name of names) {
    const is = current.get(name);
    const wanted = asked.get(name);
    if (is === undefined && wanted === undefined) continue;
    if (is !== undefined && wanted !== undefined && same(is, wanted)) continue;
    // A classic queue is what a queue is when nothing is said.
    if (name === 'x-queue-type' && (is ?? 'classic') === (wanted ?? 'classic')) continue;
    const [received, present] =
      is === undefined || wanted === undefined
        ? [described(wanted), described(is)]
        : [`'${shown(wanted)}'`, `'${shown(is)}'`];
    throw new BrokerError(
      'precondition-failed',
      `inequivalent arg '${name}' for ${where}: received ${received} but current is ${present}`,
    );
  }
}

/** Whole numbers of any width are of one kind; those with a fraction are of another. */
function same(is: HeaderValue, wanted: HeaderValue): boolean {
  return plain(is) === plain(wanted) && isInteger(is) === isInteger(wanted);
}

/** A number with a fraction shows one, be it nothing. */
function shown(value: HeaderValue): string {
  const text = toText(value);
  return typeof plain(value) === 'number' && !isInteger(value) && /^-?\d+$/.test(text)
    ? `${text}.0`
    : text;
}

function described(value: HeaderValue | undefined): string {
  if (value === undefined) return 'none';
  return `the value '${shown(value)}' of type '${typeNameOf(value)}'`;
}
