/** Wills (MQTT 5 section 3.1.2.5), and other messages that the broker publishes by itself. */
import type { Authorizer, Principal } from '../../core/auth.ts';
import type { Clock } from '../../core/clock.ts';
import type { Session as EngineSession, Eventually, Publisher } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import { type Format, Message } from '../../core/message.ts';
import { chain } from './chain.ts';
import type { WillFields } from './packet.ts';
import { isSystemTopic } from './topic.ts';
import type { TopicTable } from './topic-table.ts';

export interface Will {
  readonly vhost: string;
  /** In whose name it is published. */
  readonly principal: Principal;
  readonly fields: WillFields;
}

export interface BrokerPublisherContext {
  readonly format: Format;
  readonly topics: TopicTable;
  readonly clock: Clock;
  readonly authorizer: Authorizer;
  readonly log: Log;
  open(vhost: string): Eventually<EngineSession>;
}

/** Publishes for those who are gone: one publisher of the broker's own for each vhost. */
export class BrokerPublisher {
  readonly #context: BrokerPublisherContext;
  readonly #publishers = new Map<string, Eventually<Publisher>>();

  constructor(context: BrokerPublisherContext) {
    this.#context = context;
  }

  /** A will whose client may not publish it is dropped, and the log says so. */
  publishWill(will: Will): void {
    const { vhost, principal, fields } = will;
    const { topics, authorizer, log } = this.#context;
    const address = isSystemTopic(fields.topic) ? null : topics.address(fields.topic);
    const resource = address?.exchange === '' ? 'amq.default' : address?.exchange;
    if (resource === undefined || !authorizer.allows(principal, vhost, 'write', resource)) {
      log.info({ user: principal.name, topic: fields.topic }, 'will refused');
      return;
    }
    this.publish(vhost, fields);
  }

  publish(vhost: string, fields: Omit<WillFields, 'delaySeconds'>): void {
    const { format, topics, clock, log } = this.#context;
    const address = topics.address(fields.topic);
    if (address === null) return;
    const now = clock.now();
    const message = new Message(
      format,
      fields.native,
      fields.body,
      address.exchange,
      address.routingKey,
      fields.qos > 0,
      fields.priority,
      fields.expirySeconds < 0 ? 0 : now + fields.expirySeconds * 1000,
      now,
      fields.retain && address.exchange !== '',
    );
    void after(
      () => chain(this.#publisher(vhost), (publisher) => publisher.publish(message, 0, false)),
      () => {},
      (error) => log.info({ topic: fields.topic, reason: reasonOf(error) }, 'not published'),
    );
  }

  /** The vhost is deleted: another of its name is another. */
  forgetVhost(vhost: string): void {
    this.#publishers.delete(vhost);
  }

  close(): void {
    for (const publisher of this.#publishers.values()) {
      void chain(publisher, (opened) => opened.close());
    }
    this.#publishers.clear();
  }

  #publisher(vhost: string): Eventually<Publisher> {
    const known = this.#publishers.get(vhost);
    if (known !== undefined) return known;
    const made = chain(this.#context.open(vhost), (session) =>
      session.publisher({ settled: () => {}, returned: () => {}, writable: () => {} }),
    );
    this.#publishers.set(vhost, made);
    return made;
  }
}
