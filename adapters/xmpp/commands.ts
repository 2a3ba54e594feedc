/**
 * Ad-hoc commands at the host, and at each account for itself (XEP-0050): one form at most, then
 * the answer.
 *
 *     execute ──no form needed──────────────────────► completed
 *        └──► executing, form ──complete, next──────► completed
 *                  └──────────── cancel ────────────► canceled
 */
import type { Eventually } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import { ADMIN_COMMANDS } from './commands-admin.ts';
import { BROKER_COMMANDS } from './commands-broker.ts';
import { infoResult, itemsResult } from './disco.ts';
import { childOf, childrenOf, type Element, element } from './element.ts';
import type { Entity } from './entity.ts';
import { submittedLists } from './form.ts';
import type { Host } from './host.ts';
import { NS } from './namespaces.ts';
import { ClientSession } from './session.ts';
import { conditionOf, errorReply, resultReply } from './stanza-error.ts';

/** What was filled in, by field. */
export type Values = ReadonlyMap<string, readonly string[]>;

export interface CommandResult {
  readonly note?: { readonly type: 'info' | 'warn' | 'error'; readonly text: string };
  /** What came of it, as a form of type `result`. */
  readonly form?: Element;
  /** What no form can hold. */
  readonly more?: Element;
}

export interface Command {
  readonly node: string;
  readonly name: string;
  /** For administrators only; else for every account, as far as its permissions go. */
  readonly administrators: boolean;
  /** What must be filled in first; null: it is done at once. */
  readonly form: ((host: Host) => Element) | null;
  /** Throws (or rejects with) a BrokerError where permissions do not allow it. */
  run(host: Host, session: ClientSession, values: Values): Eventually<CommandResult>;
}

/** Commands whose forms are out to be filled in: the oldest is given up beyond this. */
const OPEN_MAX = 1000;
const NOTHING_FILLED_IN: Values = new Map();

export class Commands {
  readonly #host: Host;
  readonly #commands: ReadonlyMap<string, Command>;
  /** Who was given which form, by session id. */
  readonly #open = new Map<string, { readonly node: string; readonly jid: string }>();

  constructor(host: Host) {
    this.#host = host;
    const all = [...ADMIN_COMMANDS, ...BROKER_COMMANDS];
    this.#commands = new Map(all.map((command) => [command.node, command]));
  }

  /** disco#items of the node that lists commands (XEP-0050 2.2). */
  items(sender: Entity, iq: Element): Element {
    const found = [...this.#commands.values()].filter((command) => isFor(command, sender));
    const jid = iq.attrs.to ?? this.#host.domains.host;
    const items = found.map(({ node, name }) => element('item', { jid, node, name }));
    return itemsResult(iq, NS.COMMANDS, items);
  }

  /** disco#info of the list or of one command; null where `node` is neither. */
  info(sender: Entity, iq: Element, node: string): Element | null {
    if (node === NS.COMMANDS) {
      const list = { category: 'automation', type: 'command-list', name: 'Commands' };
      return infoResult(iq, node, list, [NS.COMMANDS]);
    }
    const command = this.#commands.get(node);
    if (command === undefined || !isFor(command, sender)) return null;
    const identity = { category: 'automation', type: 'command-node', name: command.name };
    return infoResult(iq, node, identity, [NS.COMMANDS, NS.DATA]);
  }

  /** `<command/>`. */
  request(sender: Entity, iq: Element, payload: Element): Eventually<Element> {
    const { node = '', action = 'execute', sessionid } = payload.attrs;
    const command = this.#commands.get(node);
    if (iq.attrs.type !== 'set') return refusal(iq, 'malformed-action');
    if (command === undefined) return errorReply(iq, 'item-not-found');
    if (!(sender instanceof ClientSession) || !isFor(command, sender)) {
      return errorReply(iq, 'forbidden');
    }
    if (!/^(execute|next|complete|cancel|prev)$/.test(action)) {
      return refusal(iq, 'malformed-action');
    }
    if (sessionid === undefined) return this.#begin(sender, iq, payload, command, action);
    const open = this.#open.get(sessionid);
    if (open === undefined) return errorReply(iq, 'not-allowed', specific('session-expired'));
    if (open.node !== node || open.jid !== sender.jid.full) return refusal(iq, 'bad-sessionid');
    // There is one form, so nothing is before it.
    if (action === 'prev') return refusal(iq, 'bad-action');
    const filled = submittedLists(payload);
    if (action === 'cancel' || filled === 'cancel') {
      this.#open.delete(sessionid);
      return answer(iq, node, sessionid, 'canceled');
    }
    if (filled === null) return refusal(iq, 'bad-payload');
    return this.#run(sender, iq, command, filled, sessionid);
  }

  #begin(
    session: ClientSession,
    iq: Element,
    payload: Element,
    command: Command,
    action: string,
  ): Eventually<Element> {
    if (action === 'prev' || action === 'cancel') return refusal(iq, 'bad-action');
    const id = this.#host.nextId();
    // Who knows the form may fill it in at once.
    const filled = submittedLists(payload);
    if (command.form === null) {
      return this.#run(session, iq, command, NOTHING_FILLED_IN, id);
    }
    if (filled instanceof Map) return this.#run(session, iq, command, filled, id);
    this.#open.set(id, { node: command.node, jid: session.jid.full });
    if (this.#open.size > OPEN_MAX) {
      const [oldest = ''] = this.#open.keys();
      this.#open.delete(oldest);
    }
    const actions = element('actions', { execute: 'complete' }, element('complete'));
    return answer(iq, command.node, id, 'executing', actions, command.form(this.#host));
  }

  #run(
    session: ClientSession,
    iq: Element,
    command: Command,
    values: Values,
    id: string,
  ): Eventually<Element> {
    const missing = command.form === null ? undefined : missingField(command, this.#host, values);
    if (missing !== undefined) {
      return errorReply(iq, 'bad-request', { text: missing, ...specific('bad-payload') });
    }
    let done: Element = errorReply(iq, 'internal-server-error');
    const pending = after(
      () => command.run(this.#host, session, values),
      ({ note, form, more }) => {
        this.#open.delete(id);
        const said = note === undefined ? null : element('note', { type: note.type }, note.text);
        done = answer(iq, command.node, id, 'completed', said, form ?? null, more ?? null);
      },
      (error) => {
        done = errorReply(iq, conditionOf(error), { text: reasonOf(error) });
      },
    );
    return pending instanceof Promise ? pending.then(() => done) : done;
  }
}

function isFor(command: Command, sender: Entity): boolean {
  if (!(sender instanceof ClientSession)) return false;
  return !command.administrators || sender.engine.principal.tags.includes('administrator');
}

/** The first required field that nothing was filled in for. */
function missingField(command: Command, host: Host, values: Values): string | undefined {
  const asked = command.form?.(host);
  for (const field of asked === undefined ? [] : childrenOf(asked, 'field', NS.DATA)) {
    const name = field.attrs.var ?? '';
    if (childOf(field, 'required', NS.DATA) === undefined) continue;
    if ((values.get(name) ?? []).every((value) => value.trim() === '')) return `no ${name}`;
  }
  return undefined;
}

function answer(
  iq: Element,
  node: string,
  sessionid: string,
  status: string,
  ...content: readonly (Element | null)[]
): Element {
  const attributes = { xmlns: NS.COMMANDS, node, sessionid, status };
  return resultReply(iq, element('command', attributes, ...content));
}

/** XEP-0050 4: what was wrong with the request. */
function refusal(iq: Element, condition: string): Element {
  return errorReply(iq, 'bad-request', specific(condition));
}

function specific(condition: string): { readonly specific: Element } {
  return { specific: element(condition, { xmlns: NS.COMMANDS }) };
}
