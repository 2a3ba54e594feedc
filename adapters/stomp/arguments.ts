/**
 * Headers of SUBSCRIBE and SEND that say how a queue is to be declared or consumed, as RabbitMQ
 * has them.
 */
import type { QueueSpec } from '../../core/engine.ts';
import { NO_ARGUMENTS } from '../../core/engine.ts';
import type { HeaderTable, HeaderValue } from '../../core/message.ts';
import { invalidHeader } from './errors.ts';
import type { Frame } from './frame.ts';
import { type HeaderName, headerName } from './header-name.ts';
import { AUTO_DELETE, DURABLE, EXCLUSIVE } from './names.ts';

type Kind = 'integer' | 'text' | 'boolean' | 'offset';
type Known = readonly (readonly [name: HeaderName, key: string, kind: Kind])[];

function known(kind: Kind, ...names: string[]): Known {
  return names.map((name) => [headerName(name), name, kind] as const);
}

const QUEUE_ARGUMENTS: Known = [
  ...known(
    'integer',
    'x-message-ttl',
    'x-expires',
    'x-max-length',
    'x-max-length-bytes',
    'x-max-priority',
    'x-delivery-limit',
    'x-queue-version',
    'x-stream-max-segment-size-bytes',
    'x-initial-cluster-size',
  ),
  ...known(
    'text',
    'x-overflow',
    'x-dead-letter-exchange',
    'x-dead-letter-routing-key',
    'x-dead-letter-strategy',
    'x-queue-type',
    'x-queue-mode',
    'x-max-age',
    'x-queue-leader-locator',
  ),
  ...known('boolean', 'x-single-active-consumer'),
];

const CONSUME_ARGUMENTS: Known = [
  ...known('offset', 'x-stream-offset'),
  ...known('text', 'x-stream-filter', 'x-stream-group'),
  ...known('boolean', 'x-stream-match-unfiltered', 'x-stream-group-reset'),
];

export function queueArguments(frame: Frame): HeaderTable {
  return argumentsOf(frame, QUEUE_ARGUMENTS);
}

export function consumeArguments(frame: Frame): HeaderTable {
  return argumentsOf(frame, CONSUME_ARGUMENTS);
}

/** A queue of which nobody says how it should be. */
export const DURABLE_QUEUE = {
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: NO_ARGUMENTS,
} as const;

/** Numbers of the names that `queueSpec` reads. */
const DESCRIBING: ReadonlySet<number> = new Set(
  [DURABLE, EXCLUSIVE, AUTO_DELETE, ...QUEUE_ARGUMENTS.map(([name]) => name)].map(
    (name) => name.number,
  ),
);

/** How a frame wants its queue; what it does not say is as `defaults` has it. */
export function queueSpec(
  frame: Frame,
  name: string,
  defaults: Pick<QueueSpec, 'durable' | 'exclusive' | 'autoDelete'>,
): QueueSpec {
  return {
    name,
    durable: booleanHeader(frame, DURABLE, defaults.durable),
    exclusive: booleanHeader(frame, EXCLUSIVE, defaults.exclusive),
    autoDelete: booleanHeader(frame, AUTO_DELETE, defaults.autoDelete),
    arguments: queueArguments(frame),
  };
}

/** Whether a frame says anything of how its queue is to be. */
export function describesQueue(frame: Frame): boolean {
  for (let index = 0; index < frame.headerCount; index++) {
    if (DESCRIBING.has(frame.nameNumber(index))) return true;
  }
  return false;
}

/** `true` or `false` in any case; stomp.py writes Python's `True`. */
export function booleanHeader(frame: Frame, name: HeaderName, fallback: boolean): boolean {
  const text = frame.get(name);
  if (text === undefined) return fallback;
  const value = booleanOf(text);
  if (value === undefined) throw invalidHeader(frame.command, name.text);
  return value;
}

/** A whole number, or `fallback` where the header is missing. */
export function integerHeader(frame: Frame, name: HeaderName, fallback: number): number {
  const text = frame.get(name);
  if (text === undefined) return fallback;
  if (!/^-?\d{1,9}$/.test(text.trim())) throw invalidHeader(frame.command, name.text);
  return Number(text);
}

/** A whole number from 0 up, or `fallback` where the header is missing. */
export function numberHeader(frame: Frame, name: HeaderName, fallback: number): number {
  const text = frame.get(name);
  if (text === undefined) return fallback;
  if (!/^\d{1,15}$/.test(text.trim())) throw invalidHeader(frame.command, name.text);
  return Number(text);
}

function booleanOf(text: string): boolean | undefined {
  const lower = text.trim().toLowerCase();
  return lower === 'true' ? true : lower === 'false' ? false : undefined;
}

function argumentsOf(frame: Frame, headers: Known): HeaderTable {
  let table: Map<string, HeaderValue> | null = null;
  for (const [name, key, kind] of headers) {
    const text = frame.get(name);
    if (text === undefined) continue;
    const value = argument(text, kind);
    if (value === undefined) throw invalidHeader(frame.command, key);
    table ??= new Map();
    table.set(key, value);
  }
  return table ?? NO_ARGUMENTS;
}

function argument(text: string, kind: Kind): HeaderValue | undefined {
  switch (kind) {
    case 'integer':
      return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : undefined;
    case 'boolean':
      return booleanOf(text);
    case 'offset':
      return offset(text);
    default:
      return text;
  }
}

/** `first`, `last`, `next`, an interval such as `1h`, `offset=5` or `timestamp=1700000000`. */
function offset(text: string): HeaderValue | undefined {
  const given = /^(offset|timestamp)=(\d{1,15})$/.exec(text);
  if (given === null) return text;
  return given[1] === 'offset' ? Number(given[2]) : new Date(Number(given[2]) * 1000);
}
