/**
 * What one client publishes: topics and their aliases, the message, QoS 2 without duplicates, and
 * the acknowledgement once the engine has told the message's fate.
 */
import type { Clock } from '../../core/clock.ts';
import { type Session as EngineSession, Fate, type Publisher } from '../../core/engine.ts';
import { BrokerError, reasonOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { type Address, type Format, Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Transport } from '../adapter.ts';
import { AckQueue } from './ack-queue.ts';
import { decodePublish, PublishFields } from './decoder.ts';
import { ACK, writeAck } from './encoder.ts';
import type { EnvelopeFormat } from './envelope.ts';
import { malformed, protocolError, readText } from './field-reader.ts';
import type { PacketFramer } from './framer.ts';
import { bareNative, PropertySkimmer, RETAIN_FLAG, V5_FLAG } from './native.ts';
import type { Qos, Version } from './packet.ts';
import { Reason, reasonForError, Violation } from './reason.ts';
import type { MqttSession } from './session.ts';
import { isSystemTopic, undelayed } from './topic.ts';
import type { TopicAccess } from './topic-access.ts';
import type { TopicTable } from './topic-table.ts';

export interface InboxOptions {
  readonly version: Version;
  readonly session: MqttSession;
  /** The session was there before this connection. */
  readonly resumed: boolean;
  readonly engine: EngineSession;
  readonly transport: Transport;
  readonly format: Format;
  /** What bodies may be wrapped in; null: nothing. */
  readonly envelope: EnvelopeFormat | null;
  readonly topics: TopicTable;
  readonly clock: Clock;
  readonly counters: ProtocolCounters;
  readonly receiveMaximum: number;
  readonly aliasMax: number;
  readonly qosMax: Qos;
  readonly bodyBytesMax: number;
  readonly access: TopicAccess;
  /** For what is worth a line; most have nothing to say. */
  log(): Log;
  /** A publish cannot be taken, and MQTT 3 has no other way to say so than to disconnect. */
  refused(why: string): void;
}

/** Where a topic is published to; `refusal` where it cannot be. */
interface Target {
  readonly address: Address;
  readonly refusal: Reason;
  /** `$delayed/SECONDS/topic`: published so much later; 0: now. */
  readonly delayMs: number;
}

// Used within one call each, so that all connections share them.
const FIELDS = new PublishFields();
const SKIMMER = new PropertySkimmer();

const NOWHERE: Address = { exchange: '', routingKey: '' };

const REASON_OF_FATE: Readonly<Record<Fate, Reason>> = {
  [Fate.CONFIRMED]: Reason.SUCCESS,
  [Fate.UNROUTABLE]: Reason.NO_MATCHING_SUBSCRIBERS,
  [Fate.REFUSED]: Reason.QUOTA_EXCEEDED,
  [Fate.FAILED]: Reason.UNSPECIFIED,
};

export class Inbox {
  readonly #options: InboxOptions;
  readonly #v5: boolean;
  readonly #publisher: Publisher;
  readonly #acks = new AckQueue((packetId, qos, reason) => this.#answer(packetId, qos, reason));
  #aliases: Map<number, Target> | null = null;
  /** The topic of the publish before: most clients repeat themselves. */
  #lastTopic: Buffer = Buffer.alloc(0);
  #lastTarget: Target = { address: NOWHERE, refusal: Reason.TOPIC_INVALID, delayMs: 0 };
  /** QoS 1 and 2 publishes of this connection that are not complete [MQTT 4.9]. */
  #inFlight = 0;
  #held = false;
  #windowHeld = false;
  #closed = false;
  #reported = 0;

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#v5 = options.version === 5;
    this.#publisher = options.engine.publisher({
      settled: (tag, fate) => this.#acks.settle(tag, REASON_OF_FATE[fate]),
      returned: () => {},
      writable: () => {
        if (!this.#held) return;
        this.#held = false;
        options.transport.release();
      },
    });
  }

  close(): void {
    this.#closed = true;
    this.#publisher.close();
  }

  /** The PUBLISH that the framer found. `now` is the time of its arrival. */
  onPublish(framer: PacketFramer, now: number): void {
    const fields = FIELDS;
    const { bytes, end } = framer;
    const { version, session, qosMax, format } = this.#options;
    decodePublish(bytes, framer.first, framer.start, end, version, fields);
    const { qos, retain, packetId } = fields;
    if (qos > qosMax) throw new Violation(Reason.QOS_NOT_SUPPORTED, `a PUBLISH with QoS ${qos}`);
    if (end - fields.bodyStart > this.#options.bodyBytesMax) {
      throw new Violation(Reason.PACKET_TOO_LARGE, 'a message larger than the broker takes');
    }
    const flags = qos | (retain ? RETAIN_FLAG : 0);
    let native: Buffer;
    let priority = 0;
    let expiresAt = 0;
    let alias = 0;
    if (fields.propertiesEnd > fields.propertiesStart) {
      const skimmed = SKIMMER.skim(
        bytes,
        fields.propertiesStart,
        fields.propertiesEnd,
        flags,
        session.publisherTag,
        this.#options.engine.principal.name,
        false,
      );
      ({ native, priority } = skimmed);
      alias = skimmed.topicAlias;
      if (skimmed.expirySeconds >= 0) expiresAt = now + skimmed.expirySeconds * 1000;
    } else native = bareNative(this.#v5 ? flags | V5_FLAG : flags, session.publisherTag);
    const target = this.#target(bytes, fields.topicStart, fields.topicEnd, alias);
    if (qos > 0 && !this.#admit(qos, packetId)) return;
    const { exchange, routingKey } = target.address;
    this.#options.counters.received++;
    const body = bytes.subarray(fields.bodyStart, end);
    const kept = retain && exchange !== '';
    const message = new Message(
      format,
      native,
      body,
      exchange,
      routingKey,
      qos > 0,
      priority,
      expiresAt,
      now,
      kept,
    );
    this.#publish(this.#meant(message, target), target, qos, packetId);
    if (qos === 2) session.noteTaken(packetId);
  }

  /** Out of its envelope, and put off, where it is to be. */
  #meant(message: Message, { delayMs: ms }: Target): Message {
    const { envelope, format, engine } = this.#options;
    const meant = envelope === null ? message : envelope.opened(message, format, engine.principal);
    return ms === 0 ? meant : meant.postponed({ ms, until: message.receivedAt + ms });
  }

  /** PUBREL: the identifier of a QoS 2 message is free again. */
  onRelease(packetId: number): void {
    const found = this.#options.session.release(packetId);
    if (found && this.#inFlight > 0) this.#inFlight--;
    // [MQTT 5, table 3.6]: no error during recovery, where our PUBCOMP was lost; some clients
    // report the code as one all the same.
    const known = found || this.#options.resumed || !this.#v5;
    const reason = known ? 0 : Reason.PACKET_ID_NOT_FOUND;
    // Not before it is free for good: a crash must not leave it taken for the next message.
    this.#options.session.safe(() => {
      if (!this.#closed) writeAck(this.#options.transport.output, ACK.PUBCOMP, packetId, reason);
    });
  }

  /** Takes a place of our Receive Maximum. False: a QoS 2 message that was taken already. */
  #admit(qos: number, packetId: number): boolean {
    const { session, receiveMaximum, transport } = this.#options;
    if (this.#v5 && this.#inFlight >= receiveMaximum && !session.hasTaken(packetId)) {
      throw new Violation(
        Reason.RECEIVE_MAXIMUM_EXCEEDED,
        `more than ${receiveMaximum} publishes in flight [MQTT-3.3.4-7]`,
      );
    }
    if (qos === 1) {
      this.#inFlight++;
      return true;
    }
    if (session.hasTaken(packetId)) {
      // [MQTT-4.3.3-10]: acknowledged again, and not passed on again. Its fate may be on its way.
      if (!this.#acks.has(packetId)) writeAck(transport.output, ACK.PUBREC, packetId, 0);
      return false;
    }
    this.#inFlight++;
    session.take(packetId);
    return true;
  }

  #publish(message: Message, target: Target, qos: number, packetId: number): void {
    const tag = qos === 0 ? 0 : this.#acks.add(packetId, qos);
    if (target.refusal !== Reason.SUCCESS) {
      this.#report(target.refusal, 'not a topic that it can publish to');
      if (tag > 0) this.#acks.settle(tag, target.refusal);
      return;
    }
    try {
      if (!this.#publisher.publish(message, tag, false) && !this.#held) {
        this.#held = true;
        this.#options.transport.hold();
      }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      const reason = error.code === 'not-found' ? Reason.TOPIC_INVALID : reasonForError(error.code);
      this.#report(reason, reasonOf(error));
      if (tag > 0) this.#acks.settle(tag, reason);
    }
    if (this.#acks.size >= this.#options.receiveMaximum && !this.#windowHeld) {
      // MQTT 3 has no window: its clients are slowed by their socket.
      this.#windowHeld = true;
      this.#options.transport.hold();
    }
  }

  #answer(packetId: number, qos: number, reason: number): void {
    const { transport, session, counters } = this.#options;
    if (this.#windowHeld && this.#acks.size * 2 <= this.#options.receiveMaximum) {
      this.#windowHeld = false;
      transport.release();
    }
    const failed = reason >= 0x80;
    if (qos === 1 || failed) this.#inFlight--;
    if (qos === 2 && failed) session.release(packetId);
    if (!failed) counters.confirmed++;
    if (!this.#v5 && (reason === Reason.QUOTA_EXCEEDED || reason === Reason.UNSPECIFIED)) {
      // [MQTT-3.3.5-2]: what is not taken is not acknowledged; the client sends it again later.
      this.#options.refused('a message that its queue did not take');
      return;
    }
    // To MQTT 3, a message that its client may not publish looks taken (as Mosquitto has it).
    if (!this.#v5 && failed && qos === 2) {
      session.take(packetId);
      session.noteTaken(packetId);
    }
    const first = qos === 1 ? ACK.PUBACK : ACK.PUBREC;
    writeAck(transport.output, first, packetId, this.#v5 ? reason : 0);
  }

  #target(bytes: Buffer, start: number, end: number, alias: number): Target {
    if (start === end) {
      if (!this.#v5) throw malformed('a PUBLISH without a topic [MQTT-4.7.3-1]');
      const known = this.#aliases?.get(alias);
      if (known !== undefined) return known;
      throw protocolError(alias === 0 ? 'a PUBLISH without a topic' : 'an unknown Topic Alias');
    }
    const target = sameBytes(this.#lastTopic, bytes, start, end)
      ? this.#lastTarget
      : this.#resolve(bytes, start, end);
    if (alias > 0) {
      if (alias > this.#options.aliasMax) {
        throw new Violation(Reason.TOPIC_ALIAS_INVALID, `Topic Alias ${alias} [MQTT-3.3.2-9]`);
      }
      this.#aliases ??= new Map();
      this.#aliases.set(alias, target);
    }
    return target;
  }

  #resolve(bytes: Buffer, start: number, end: number): Target {
    const whole = readText(bytes, start, end);
    if (/[+#]/.test(whole)) {
      throw new Violation(Reason.TOPIC_INVALID, 'a wildcard in a topic [MQTT-3.3.2-2]');
    }
    const { topic, delayMs } = undelayed(whole);
    const address = this.#options.topics.address(topic);
    const forbidden = isSystemTopic(topic) || !this.#options.access.mayPublish(topic);
    const refusal = forbidden
      ? Reason.NOT_AUTHORIZED
      : address === null
        ? Reason.TOPIC_INVALID
        : Reason.SUCCESS;
    this.#lastTarget = { address: address ?? NOWHERE, refusal, delayMs };
    this.#lastTopic = Buffer.from(bytes.subarray(start, end));
    return this.#lastTarget;
  }

  /** Each reason once a connection: a client that goes on does not fill the log. */
  #report(reason: Reason, why: string): void {
    const bit = 1 << (reason & 0x1f);
    if ((this.#reported & bit) !== 0) return;
    this.#reported |= bit;
    this.#options.log().info({ code: reason, reason: why }, 'publish refused');
  }
}

function sameBytes(known: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
