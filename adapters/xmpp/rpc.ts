/**
 * Jabber-RPC (XEP-0009) as requests through the broker (mapping, section 5).
 *
 * A call to a queue or an exchange is a message there whose body is the XML-RPC document, with a
 * correlation id, and a reply address that only this adapter reads; the answer, over whatever
 * protocol it comes, is the iq's:
 *
 *     iq set ──► queue q, reply-to xmpp-rpc-… ──► worker ──► xmpp-rpc-… ──► iq result
 *
 * The other way a message of the type `jabber:iq:rpc` to somebody's full JID becomes an iq there,
 * and its result goes to the message's reply address.
 */
import type { Timer } from '../../core/clock.ts';
import {
  type Consumer,
  type Delivery,
  NO_ARGUMENTS,
  type Subscription,
} from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Address, Message } from '../../core/message.ts';
import { jidOfAddress } from './address.ts';
import {
  childOf,
  type Element,
  element,
  firstElement,
  isLegalText,
  serialize,
  standalone,
} from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import { NS } from './namespaces.ts';
import { type Condition, conditionOf, errorReply, resultReply } from './stanza-error.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';
import { wireOf } from './wire.ts';

/** The type of a message that is a call for somebody who is connected. */
export const RPC_TYPE = NS.RPC;
const XML_TYPE = 'text/xml';
const DECLARATION = '<?xml version="1.0"?>';

/** A caller that waits for its iq's answer. */
interface Call {
  readonly sender: Entity;
  readonly iq: Element;
  readonly timer: Timer;
}

/** A message's sender that waits for what a client answers. */
interface Request {
  readonly entity: Entity;
  readonly message: Message;
  readonly timer: Timer;
}

export class Rpc implements Consumer {
  readonly #host: Host;
  /** By correlation id. */
  readonly #calls = new Map<string, Call>();
  /** By the id of the iq that was sent. */
  readonly #requests = new Map<string, Request>();
  #queue: string | null = null;

  constructor(host: Host) {
    this.#host = host;
  }

  /** A call to a place of the broker's. */
  call(sender: Entity, iq: Element, query: Element, address: Address): void {
    const method = childOf(query, 'methodCall', NS.RPC);
    if (iq.attrs.type !== 'set' || method === undefined) this.#refuse(sender, iq, 'bad-request');
    else if (this.#calls.size >= this.#host.limits.xmppCallsMax) {
      this.#refuse(sender, iq, 'resource-constraint');
    } else {
      sender.hold();
      after(
        () => this.#open(),
        (queue) => {
          this.#publish(sender, iq, method, address, queue);
          sender.release();
        },
        (error) => {
          this.#host.log.error({ reason: reasonOf(error) }, 'no queue for answers to calls');
          this.#refuse(sender, iq, conditionOf(error));
          sender.release();
        },
      );
    }
  }

  /** An answer from whoever worked on a call. */
  deliver(delivery: Delivery): void {
    const { message } = delivery;
    const { correlationId } = message.properties;
    const id = typeof correlationId === 'string' ? correlationId : correlationId?.toString('utf8');
    const call = id === undefined ? undefined : this.#forget(id);
    if (call === undefined) return;
    const query = element('query', { xmlns: NS.RPC }, responseOf(message));
    call.sender.send(wireOf(resultReply(call.iq, query)), null);
  }

  cancelled(): void {
    this.#queue = null;
  }

  /** A message for a full JID that is a call. False where it is none. */
  request(session: Entity, message: Message): boolean {
    const { type } = message.properties;
    if (type !== RPC_TYPE || message.format === this.#host.format) return false;
    const method = documentOf(message.body, 'methodCall');
    if (method === null || this.#requests.size >= this.#host.limits.xmppCallsMax) return false;
    const id = this.#host.nextId();
    const timer = this.#after(() => this.#requests.delete(id));
    this.#requests.set(id, { entity: session, message, timer });
    const iq = { type: 'set', id, from: this.#host.domains.host, to: session.jid.full };
    session.send(wireOf(element('iq', iq, element('query', { xmlns: NS.RPC }, method))), null);
    return true;
  }

  /** A client's answer to an iq of this adapter's. False where it answers no call. */
  answered(sender: Entity, iq: Element): boolean {
    const id = iq.attrs.id ?? '';
    const request = this.#requests.get(id);
    if (request === undefined || request.entity !== sender) return false;
    this.#requests.delete(id);
    request.timer.cancel();
    const { correlationId, replyTo } = request.message.properties;
    if (replyTo === undefined) return true;
    const query = firstElement(iq);
    const response = query === undefined ? undefined : childOf(query, 'methodResponse', NS.RPC);
    const text = DECLARATION + (response === undefined ? fault(iq) : plainly(response));
    const stanza = document(text, {
      'Correlation-ID':
        typeof correlationId === 'string' ? correlationId : (correlationId?.toString('utf8') ?? ''),
    });
    const from = iq.attrs.from ?? sender.jid.full;
    const { exchange, routingKey } = replyTo;
    this.#host.publish(this.#host.messages.build(stanza, from, exchange, routingKey, false));
    return true;
  }

  #publish(sender: Entity, iq: Element, method: Element, address: Address, queue: string): void {
    const { messages, domains, limits } = this.#host;
    const id = this.#host.nextId();
    const reply = jidOfAddress({ exchange: '', routingKey: queue }, domains)?.bare ?? '';
    const stanza = document(DECLARATION + plainly(method), {
      'Correlation-ID': id,
      'Reply-To': reply,
      Expiration: String(limits.xmppCallSecondsMax * 1000),
      Type: RPC_TYPE,
    });
    const from = iq.attrs.from ?? sender.jid.full;
    const { exchange, routingKey } = address;
    const message = messages.build(stanza, from, exchange, routingKey, false);
    const timer = this.#after(() => {
      if (this.#forget(id) !== undefined) this.#refuse(sender, iq, 'remote-server-timeout');
    });
    this.#calls.set(id, { sender, iq, timer });
    const unrouted = (): void => {
      if (this.#forget(id) !== undefined) this.#refuse(sender, iq, 'item-not-found');
    };
    if (!sender.publish(message, iq, true, unrouted)) this.#forget(id);
  }

  #forget(id: string): Call | undefined {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.timer.cancel();
    return call;
  }

  #after(run: () => void): Timer {
    const { clock } = this.#host.context;
    return clock.after(this.#host.limits.xmppCallSecondsMax * 1000, run);
  }

  #refuse(sender: Entity, iq: Element, condition: Condition): void {
    sender.send(wireOf(errorReply(iq, condition)), null);
  }

  /** The queue that answers come to, once somebody calls. */
  #open(): string | Promise<string> {
    if (this.#queue !== null) return this.#queue;
    const { system } = this.#host;
    const consume = (queue: string): string | Promise<string> => {
      const done = system.consume(
        {
          queue,
          tag: queue,
          acknowledge: false,
          exclusive: true,
          priority: 0,
          credits: [],
          arguments: NO_ARGUMENTS,
        },
        this,
      );
      const opened = (_: Subscription): string => {
        this.#queue = queue;
        return queue;
      };
      return done instanceof Promise ? done.then(opened) : opened(done);
    };
    const queue = system.temporaryQueue('xmpp-rpc-');
    return queue instanceof Promise ? queue.then(consume) : consume(queue);
  }
}

function document(text: string, headers: Readonly<Record<string, string>>): Element {
  const shim = Object.entries({ 'Content-Type': XML_TYPE, ...headers })
    .filter(([, value]) => value !== '')
    .map(([name, value]) => element('header', { name }, value));
  return element(
    'message',
    {},
    element('body', {}, text),
    element('headers', { xmlns: NS.SHIM }, ...shim),
  );
}

/** The XML-RPC document, which has no namespace of its own. */
function plainly(node: Element): string {
  const alone = standalone(node);
  delete alone.attrs.xmlns;
  return serialize(alone);
}

/** An answer's document; what is none of XML-RPC is its one value, as text or as bytes. */
function responseOf(message: Message): Element {
  const found = documentOf(message.body, 'methodResponse');
  if (found !== null) return found;
  const text = message.body.toString('utf8');
  const isText = Buffer.from(text).equals(message.body) && isLegalText(text);
  const value = isText
    ? element('string', {}, text)
    : element('base64', {}, message.body.toString('base64'));
  const param = element('param', {}, element('value', {}, value));
  return element('methodResponse', {}, element('params', {}, param));
}

function documentOf(body: Buffer, name: string): Element | null {
  const text = body.toString('utf8').replace(/^\s*<\?xml[^>]*\?>\s*/, '');
  if (!text.startsWith(`<${name}`)) return null;
  try {
    return parseElement(text.trimEnd(), NO_PREFIXES);
  } catch {
    return null;
  }
}

/** What the caller of somebody who answers with an error is told. */
function fault(iq: Element): string {
  const error = childOf(iq, 'error', '');
  const condition = error === undefined ? undefined : firstElement(error)?.name;
  const member = (name: string, value: Element): Element =>
    element('member', {}, element('name', {}, name), element('value', {}, value));
  return serialize(
    element(
      'methodResponse',
      {},
      element(
        'fault',
        {},
        element(
          'value',
          {},
          element(
            'struct',
            {},
            member('faultCode', element('int', {}, '0')),
            member('faultString', element('string', {}, condition ?? 'no answer')),
          ),
        ),
      ),
    ),
  );
}
