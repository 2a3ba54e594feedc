/** The broker by ad-hoc command: queues, exchanges and bindings as far as the user may read them. */
import type { Command, CommandResult, Values } from './commands.ts';
import { type Field, form, table } from './form.ts';
import type { Host } from './host.ts';
import type { ClientSession } from './session.ts';
import { stampOf } from './wire.ts';

const NODE = 'urn:rosettamq:commands';
/** Rows that one table shows. */
const ROWS_MAX = 1000;

const PATTERN: Field = {
  name: 'pattern',
  type: 'text-single',
  label: 'Part of the name; nothing for all',
  value: '',
};
const QUEUE: Field = {
  name: 'queue',
  type: 'text-single',
  label: 'The queue',
  value: '',
  required: true,
};

export const BROKER_COMMANDS: readonly Command[] = [
  command('list-queues', 'List queues', listQueues, [PATTERN]),
  command('list-exchanges', 'List exchanges', listExchanges, [PATTERN]),
  command('list-bindings', 'List bindings', listBindings, [PATTERN]),
  command('purge-queue', 'Purge a queue', purgeQueue, [QUEUE]),
  {
    ...command('ping', 'Ask for a sign of life', pong, null),
    node: 'ping',
  },
];

function command(
  name: string,
  label: string,
  run: Command['run'],
  fields: readonly Field[] | null,
): Command {
  const node = `${NODE}#${name}`;
  return {
    node,
    name: label,
    administrators: false,
    form: fields === null ? null : () => form('form', node, fields, { title: label }),
    run,
  };
}

function listQueues(host: Host, session: ClientSession, values: Values): CommandResult {
  const { admin } = host.context.engine;
  const rows: string[][] = [];
  for (const queue of admin.queues(session.engine.vhost)) {
    if (rows.length === ROWS_MAX) break;
    if (!isShown(host, session, values, queue.name)) continue;
    const { name, type, durable, ready, unacknowledged, consumers, bytes } = queue;
    const numbers = [ready, unacknowledged, consumers, bytes].map(String);
    rows.push([name, type, String(durable), ...numbers]);
  }
  const columns = ['name', 'type', 'durable', 'ready', 'unacknowledged', 'consumers', 'bytes'];
  return { form: table('Queues', columns, rows) };
}

function listExchanges(host: Host, session: ClientSession, values: Values): CommandResult {
  const { admin } = host.context.engine;
  const rows: string[][] = [];
  for (const { name, type, durable, internal } of admin.exchanges(session.engine.vhost)) {
    if (rows.length === ROWS_MAX) break;
    if (!isShown(host, session, values, name)) continue;
    rows.push([name, type, String(durable), String(internal)]);
  }
  return { form: table('Exchanges', ['name', 'type', 'durable', 'internal'], rows) };
}

function listBindings(host: Host, session: ClientSession, values: Values): CommandResult {
  const { admin } = host.context.engine;
  const rows: string[][] = [];
  for (const binding of admin.bindings(session.engine.vhost)) {
    if (rows.length === ROWS_MAX) break;
    const { source, destination, toExchange, routingKey } = binding;
    if (!isShown(host, session, values, source) || isPrivate(destination)) continue;
    rows.push([source, toExchange ? 'exchange' : 'queue', destination, routingKey]);
  }
  return { form: table('Bindings', ['source', 'kind', 'destination', 'key'], rows) };
}

function purgeQueue(
  _host: Host,
  session: ClientSession,
  values: Values,
): CommandResult | Promise<CommandResult> {
  const name = values.get('queue')?.[0] ?? '';
  const told = (count: number): CommandResult => ({
    note: { type: 'info', text: `${count} messages removed from ${name}` },
  });
  const purged = session.engine.purgeQueue(name);
  return purged instanceof Promise ? purged.then(told) : told(purged);
}

/** As other servers have it, for everybody. */
function pong(host: Host): CommandResult {
  const timestamp: Field = {
    name: 'timestamp',
    type: 'text-single',
    label: '',
    value: stampOf(host.context.clock),
  };
  return { note: { type: 'info', text: 'Pong' }, form: form('result', 'ping', [timestamp]) };
}

function isShown(host: Host, session: ClientSession, values: Values, name: string): boolean {
  if (isPrivate(name) || !host.allows(session.engine, 'read', name)) return false;
  return name.includes(values.get('pattern')?.[0] ?? '');
}

/** Inboxes and the like are the adapter's own. */
function isPrivate(name: string): boolean {
  return name.startsWith('xmpp-');
}
