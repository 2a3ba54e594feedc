/** The exchange and queue classes of a channel: declare, delete, bind, unbind, purge. */
import type { BindingSpec } from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import { AmqpError } from './errors.ts';
import type { ChannelPort } from './link.ts';
import { DIRECT_REPLY_TO } from './publishing.ts';
import type { Reader } from './reader.ts';
import { writeCountMethod, writeDeclareOk, writeMethod } from './replies.ts';
import { Method, Reply } from './wire.ts';

/**
 * RabbitMQ calls an exchange type "invalid" where its name is a word that it has for anything else, and
 * "unknown" otherwise. These are such words, as clients' own suites and users in error say them.
 */
const WORDS: ReadonlySet<string> = new Set([
  ...['', 'bad', 'bar', 'classic', 'default', 'error', 'exchange', 'foo', 'invalid', 'none'],
  ...['normal', 'queue', 'quorum', 'random', 'stream', 'test', 'true', 'type', 'undefined'],
  'unknown',
]);

export class Topology {
  readonly #channel: ChannelPort;
  readonly #replyQueue: () => string | null;
  /** The queue declared last on this channel: what an empty name stands for (AMQP 1.7.2.1). */
  #currentQueue = '';

  constructor(channel: ChannelPort, replyQueue: () => string | null) {
    this.#channel = channel;
    this.#replyQueue = replyQueue;
  }

  /** A queue's name as a method gives it. */
  queueNamed(name: string): string {
    if (name !== '') return name;
    if (this.#currentQueue === '')
      throw new AmqpError(Reply.NOT_FOUND, 'no previously declared queue');
    return this.#currentQueue;
  }

  /** Answers false for a method that is none of these. */
  handle(method: number, reader: Reader): boolean {
    switch (method) {
      case Method.EXCHANGE_DECLARE:
        this.#declareExchange(reader);
        return true;
      case Method.EXCHANGE_DELETE:
        this.#deleteExchange(reader);
        return true;
      case Method.EXCHANGE_BIND:
      case Method.EXCHANGE_UNBIND:
        this.#bindExchange(method, reader);
        return true;
      case Method.QUEUE_DECLARE:
        this.#declareQueue(reader);
        return true;
      case Method.QUEUE_BIND:
      case Method.QUEUE_UNBIND:
        this.#bindQueue(method, reader);
        return true;
      case Method.QUEUE_PURGE:
        this.#purge(reader);
        return true;
      case Method.QUEUE_DELETE:
        this.#deleteQueue(reader);
        return true;
      default:
        return false;
    }
  }

  #declareExchange(reader: Reader): void {
    reader.short();
    const name = cleaned(reader.shortString());
    const type = reader.shortString();
    const bits = reader.octet();
    const passive = (bits & 1) !== 0;
    const spec = {
      name,
      type,
      durable: (bits & 2) !== 0,
      autoDelete: (bits & 4) !== 0,
      internal: (bits & 8) !== 0,
      arguments: reader.table(),
    };
    refuseDefault(name);
    const { session, context } = this.#channel.link;
    if (!passive && !context.engine.capabilities.exchangeTypes.includes(type)) {
      const reason = WORDS.has(type) ? 'invalid' : 'unknown';
      throw new AmqpError(Reply.COMMAND_INVALID, `${reason} exchange type '${type}'`);
    }
    this.#channel.ask(
      () => session.declareExchange(spec, passive),
      () => this.#confirm(Method.EXCHANGE_DECLARE_OK, (bits & 16) !== 0),
    );
  }

  #deleteExchange(reader: Reader): void {
    reader.short();
    const name = cleaned(reader.shortString());
    const bits = reader.octet();
    refuseDefault(name);
    if (name.startsWith('amq.')) {
      const { vhost } = this.#channel.link.session;
      const message = `deletion of system exchange '${name}' in vhost '${vhost}' not allowed`;
      throw new AmqpError(Reply.ACCESS_REFUSED, message);
    }
    this.#channel.ask(
      () => this.#channel.link.session.deleteExchange(name, (bits & 1) !== 0),
      () => this.#confirm(Method.EXCHANGE_DELETE_OK, (bits & 2) !== 0),
    );
  }

  #bindExchange(method: number, reader: Reader): void {
    reader.short();
    const destination = cleaned(reader.shortString());
    const source = cleaned(reader.shortString());
    const routingKey = reader.shortString();
    const noWait = (reader.octet() & 1) !== 0;
    const spec = { source, destination, toExchange: true, routingKey, arguments: reader.table() };
    if (method === Method.EXCHANGE_BIND) this.#bind(spec, Method.EXCHANGE_BIND_OK, noWait);
    else this.#unbind(spec, Method.EXCHANGE_UNBIND_OK, noWait);
  }

  #declareQueue(reader: Reader): void {
    reader.short();
    const name = cleaned(reader.shortString());
    const bits = reader.octet();
    const noWait = (bits & 16) !== 0;
    const exclusive = (bits & 4) !== 0;
    const spec = {
      name,
      // Exclusive queues do not outlive their connection, let alone the broker.
      durable: (bits & 2) !== 0 && !exclusive,
      exclusive,
      autoDelete: (bits & 8) !== 0,
      arguments: reader.table(),
    };
    if (name.startsWith(DIRECT_REPLY_TO)) {
      this.#checkReplyQueue(name, noWait);
      return;
    }
    this.#channel.ask(
      () => this.#channel.link.session.declareQueue(spec, (bits & 1) !== 0),
      (status) => this.#declared(status.name, status.messages, status.consumers, noWait),
    );
  }

  /**
   * Of a reply queue it is only asked whether it is there: how a server learns that its client has
   * gone.
   */
  #checkReplyQueue(name: string, noWait: boolean): void {
    const { session } = this.#channel.link;
    this.#channel.ask(
      () => name === DIRECT_REPLY_TO || this.#replyQueue() === name || session.hasQueue(name),
      (found) => {
        if (!found) {
          throw new BrokerError('not-found', `no queue '${name}' in vhost '${session.vhost}'`);
        }
        this.#declared(name, 0, 1, noWait);
      },
    );
  }

  #declared(name: string, messages: number, consumers: number, noWait: boolean): void {
    this.#currentQueue = name;
    if (noWait) return;
    const { link, number } = this.#channel;
    writeDeclareOk(link.transport.output, number, name, messages, consumers);
  }

  #bindQueue(method: number, reader: Reader): void {
    reader.short();
    const named = cleaned(reader.shortString());
    const source = cleaned(reader.shortString());
    const key = reader.shortString();
    const binding = method === Method.QUEUE_BIND;
    // Queue.unbind has no no-wait flag.
    const noWait = binding && (reader.octet() & 1) !== 0;
    const destination = this.queueNamed(named);
    const routingKey = named === '' && key === '' ? destination : key;
    const spec = { source, destination, toExchange: false, routingKey, arguments: reader.table() };
    if (binding) this.#bind(spec, Method.QUEUE_BIND_OK, noWait);
    else this.#unbind(spec, Method.QUEUE_UNBIND_OK, noWait);
  }

  #bind(spec: BindingSpec, answer: number, noWait: boolean): void {
    this.#channel.ask(
      () => this.#channel.link.session.bind(spec),
      () => this.#confirm(answer, noWait),
    );
  }

  #unbind(spec: BindingSpec, answer: number, noWait: boolean): void {
    this.#channel.ask(
      () => this.#channel.link.session.unbind(spec),
      () => this.#confirm(answer, noWait),
    );
  }

  #purge(reader: Reader): void {
    reader.short();
    const name = this.queueNamed(reader.shortString());
    const noWait = (reader.octet() & 1) !== 0;
    this.#channel.ask(
      () => this.#channel.link.session.purgeQueue(name),
      (count) => this.#confirmCount(Method.QUEUE_PURGE_OK, count, noWait),
    );
  }

  #deleteQueue(reader: Reader): void {
    reader.short();
    const name = this.queueNamed(cleaned(reader.shortString()));
    const bits = reader.octet();
    const { session } = this.#channel.link;
    this.#channel.ask(
      () => session.deleteQueue(name, (bits & 1) !== 0, (bits & 2) !== 0),
      (count) => this.#confirmCount(Method.QUEUE_DELETE_OK, count, (bits & 4) !== 0),
    );
  }

  #confirm(method: number, noWait: boolean): void {
    if (noWait) return;
    writeMethod(this.#channel.link.transport.output, this.#channel.number, method);
  }

  #confirmCount(method: number, count: number, noWait: boolean): void {
    if (noWait) return;
    writeCountMethod(this.#channel.link.transport.output, this.#channel.number, method, count);
  }
}

/** RabbitMQ takes line ends out of names. */
function cleaned(name: string): string {
  return name.replace(/[\r\n]/g, '');
}

function refuseDefault(exchange: string): void {
  if (exchange !== '') return;
  const message = 'operation not permitted on the default exchange';
  throw new AmqpError(Reply.ACCESS_REFUSED, message);
}
