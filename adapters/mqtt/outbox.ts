/**
 * What a session has sent with QoS 1 and 2 and not yet been told is done: packet identifiers, the
 * window, and what is sent again after a reconnect (MQTT 5 section 4.4).
 *
 *   QoS 1:  SENT ── PUBACK ──▶ done
 *   QoS 2:  SENT ── PUBREC ──▶ RELEASED (PUBREL sent) ── PUBCOMP ──▶ done
 *
 * Each packet in flight has one place of the window (`credit`), until done; a delivery is settled
 * at PUBACK or PUBREC, when it is the client's. Last values that a subscription asked for wait in a
 * backlog of their own, and take the places that fall free first.
 */
import { Credit, type Delivery, Outcome } from '../../core/engine.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Output } from '../output.ts';
import { ACK, writeAck } from './encoder.ts';
import { protocolError } from './field-reader.ts';
import type { Publication, PublishWriter } from './publish-writer.ts';

/** How long what is in flight stays with this session when its connection is lost. */
export const Hold = {
  /** Until the session ends: from the session's own queue. */
  SESSION: 0,
  /** From a shared queue: QoS 1 goes to others [MQTT 4.8.2], QoS 2 is completed here or nowhere. */
  SHARED: 1,
  /** From a queue of the vhost: goes back to it. */
  QUEUE: 2,
} as const;
export type Hold = (typeof Hold)[keyof typeof Hold];

/** One message on its way out. */
export interface Outgoing extends Publication {
  /** Null: a last value, which no queue holds. */
  readonly delivery: Delivery | null;
  readonly hold: Hold;
}

interface InFlight {
  readonly packetId: number;
  /** Null once released: the message is the client's. */
  outgoing: Outgoing | null;
  /** Sent on the present connection. */
  sent: boolean;
  /** Sent at all: the next time is a duplicate [MQTT-3.3.1-1]. */
  everSent: boolean;
}

/** The present connection's end. */
export interface OutboxLink {
  readonly writer: PublishWriter;
  readonly output: Output;
  /** The client's socket cannot take more. */
  readonly congested: boolean;
}

/** Packet identifiers of QoS 2 exchanges that are half done, kept across restarts. */
export interface PacketStore {
  /** Whether anything is: a session that ends with its connection has nothing to keep. */
  kept: boolean;
  /** `in`: taken from the client, which has not released it; `out`: released to the client. */
  add(direction: 'in' | 'out', packetId: number): void;
  remove(direction: 'in' | 'out', packetId: number): void;
}

// What sessions have that never sent anything to be acknowledged: nothing is ever added to these.
const NONE = new Map<number, InFlight>();
const NO_BACKLOG: Outgoing[] = [];

export class Outbox {
  /** The client's Receive Maximum, as the engine sees it. */
  readonly credit = new Credit(1);
  readonly #counters: ProtocolCounters;
  readonly #packets: PacketStore;
  readonly #backlogMax: number;
  /** In the order of first sending. */
  #inFlight = NONE;
  #backlog = NO_BACKLOG;
  #backlogHead = 0;
  #link: OutboxLink | null = null;
  #lastId = 0;
  /** Packets on the present connection that take a place of the window. */
  #window = 0;
  #filling = false;

  constructor(counters: ProtocolCounters, packets: PacketStore, backlogMax: number) {
    this.#counters = counters;
    this.#packets = packets;
    this.#backlogMax = backlogMax;
  }

  /** Packets in flight. */
  get size(): number {
    return this.#inFlight.size;
  }

  /** Packet identifiers released before a restart: their PUBREL is still owed. */
  restore(packetIds: Iterable<number>): void {
    for (const packetId of packetIds) {
      this.#enter({ packetId, outgoing: null, sent: false, everSent: true });
      this.#lastId = Math.max(this.#lastId, packetId);
      this.credit.take();
    }
  }

  /**
   * A connection has come: what is in flight is sent again in its order [MQTT-4.4.0-1,
   * MQTT-4.6.0-1].
   */
  attach(link: OutboxLink, receiveMaximum: number): void {
    this.#link = link;
    this.#window = 0;
    this.credit.limit = receiveMaximum;
    for (const packet of [...this.#inFlight.values()]) {
      if (packet.outgoing === null) this.#sendRelease(link, packet);
      else if (this.#window < receiveMaximum) this.#send(link, packet, packet.outgoing);
    }
    this.#useRoom();
  }

  /** The connection is gone. What others may have goes back to its queue. */
  detach(): void {
    this.#link = null;
    const waiting = this.#backlog.slice(this.#backlogHead).filter(({ qos }) => qos > 0);
    this.#backlog = waiting.length === 0 ? NO_BACKLOG : waiting;
    this.#backlogHead = 0;
    const returned: Outgoing[] = [];
    for (const packet of [...this.#inFlight.values()]) {
      packet.sent = false;
      const { outgoing } = packet;
      if (outgoing === null || outgoing.delivery === null) continue;
      const goes =
        outgoing.hold === Hold.QUEUE || (outgoing.hold === Hold.SHARED && outgoing.qos === 1);
      if (!goes) continue;
      this.#inFlight.delete(packet.packetId);
      returned.push(outgoing);
    }
    for (const outgoing of returned) outgoing.delivery?.settle(Outcome.REQUEUE);
  }

  /**
   * The session is over: a QoS 2 message of a shared queue must not go to another [MQTT-4.8.2-5].
   */
  end(): void {
    this.#link = null;
    const held = [...this.#inFlight.values()];
    this.#inFlight.clear();
    this.#backlog = NO_BACKLOG;
    this.#backlogHead = 0;
    for (const { packetId, outgoing } of held) {
      if (outgoing === null) this.#packets.remove('out', packetId);
      else outgoing.delivery?.settle(outgoing.qos === 2 ? Outcome.REJECT : Outcome.REQUEUE);
    }
  }

  /** Sends a message that the engine gave. With QoS 0 it is done with. */
  deliver(outgoing: Outgoing): void {
    if (outgoing.qos > 0) {
      this.#begin(outgoing);
      return;
    }
    const expressible = this.#sendOnce(outgoing);
    // What was kept for this client, but is sent at most once.
    if (outgoing.message.durable || outgoing.hold !== Hold.SESSION) {
      outgoing.delivery?.settle(expressible ? Outcome.ACCEPT : Outcome.REJECT);
    }
  }

  /** Sends a last value when the window and the socket have room for it. */
  offer(outgoing: Outgoing): void {
    if (this.#backlog.length - this.#backlogHead >= this.#backlogMax) {
      this.#counters.dropped++;
      return;
    }
    if (this.#backlog === NO_BACKLOG) this.#backlog = [];
    this.#backlog.push(outgoing);
    this.#useRoom();
  }

  /** The socket has room again. */
  drained(): void {
    this.#useRoom();
  }

  /** PUBACK. False: no such packet is waited for. Throws `Violation` where it is of QoS 2. */
  acknowledged(packetId: number, failed: boolean): boolean {
    const packet = this.#inFlight.get(packetId);
    if (packet === undefined) return false;
    const { outgoing } = packet;
    if (outgoing?.qos !== 1) throw protocolError('a PUBACK where QoS 2 has PUBREC or PUBCOMP');
    this.#done(packet, outgoing.delivery, failed ? Outcome.REJECT : Outcome.ACCEPT);
    return true;
  }

  /**
   * PUBREC: the message is the client's now; answers with PUBREL. False: nothing waits for it.
   * Throws `Violation` for a message of QoS 1.
   */
  received(packetId: number, failed: boolean): boolean {
    const packet = this.#inFlight.get(packetId);
    if (packet === undefined) return false;
    const { outgoing } = packet;
    if (outgoing?.qos === 1) throw protocolError('a PUBREC where QoS 1 has PUBACK');
    if (outgoing !== null && failed) {
      // [MQTT-4.4.0-2]: a PUBREC with an error ends the exchange.
      this.#done(packet, outgoing.delivery, Outcome.REJECT);
      return true;
    }
    packet.outgoing = null;
    if (outgoing !== null) {
      this.#packets.add('out', packetId);
      this.#counters.acknowledged++;
    }
    if (this.#link !== null) writeAck(this.#link.output, ACK.PUBREL, packetId, 0);
    if (outgoing !== null && outgoing.delivery !== null) {
      // The place of the window stays taken until PUBCOMP [MQTT-4.9.0-2].
      this.credit.take();
      outgoing.delivery.settle(Outcome.ACCEPT);
    }
    return true;
  }

  /** PUBCOMP. False: nothing waits for it. Throws `Violation` where PUBREL was not sent. */
  completed(packetId: number): boolean {
    const packet = this.#inFlight.get(packetId);
    if (packet === undefined) return false;
    if (packet.outgoing !== null) throw protocolError('a PUBCOMP before PUBREL');
    this.#packets.remove('out', packetId);
    this.#leave(packet);
    this.#freePlace();
    return true;
  }

  #begin(outgoing: Outgoing): void {
    const packetId = this.#nextId();
    const packet: InFlight = { packetId, outgoing, sent: false, everSent: false };
    this.#enter(packet);
    if (this.#link !== null) this.#send(this.#link, packet, outgoing);
  }

  #send(link: OutboxLink, packet: InFlight, outgoing: Outgoing): void {
    const dup = packet.everSent;
    packet.sent = true;
    this.#window++;
    if (!link.writer.write(outgoing, dup, packet.packetId)) {
      // [MQTT-3.1.2-25]: as if it had been sent and done with.
      this.#counters.dropped++;
      this.#done(packet, outgoing.delivery, Outcome.REJECT);
      return;
    }
    packet.everSent = true;
    this.#counters.delivered++;
    if (dup || (outgoing.delivery?.attempts ?? 0) > 0) this.#counters.redelivered++;
  }

  #sendRelease(link: OutboxLink, packet: InFlight): void {
    packet.sent = true;
    this.#window++;
    writeAck(link.output, ACK.PUBREL, packet.packetId, 0);
  }

  /** False: the receiver cannot take it, whatever connection it comes by. */
  #sendOnce(outgoing: Outgoing): boolean {
    const link = this.#link;
    const written = link?.writer.write(outgoing, false, 0) === true;
    if (written) this.#counters.delivered++;
    else this.#counters.dropped++;
    return written || link === null;
  }

  /** The exchange is over: the delivery is settled, and the place of the window given on. */
  #done(packet: InFlight, delivery: Delivery | null, outcome: Outcome): void {
    this.#leave(packet);
    if (outcome === Outcome.ACCEPT) this.#counters.acknowledged++;
    if (delivery === null) {
      this.#freePlace();
      return;
    }
    if (!this.#hasWaiting()) {
      delivery.settle(outcome);
      return;
    }
    // The engine gives a place back when it settles: one more is taken, so that it is ours to give on.
    this.credit.take();
    delivery.settle(outcome);
    this.#freePlace();
  }

  #leave(packet: InFlight): void {
    this.#inFlight.delete(packet.packetId);
    if (packet.sent) this.#window--;
  }

  #hasWaiting(): boolean {
    return this.#backlogHead < this.#backlog.length || this.#window < this.#inFlight.size;
  }

  #freePlace(): void {
    this.credit.give();
    this.#useRoom();
  }

  /**
   * Sends what waits as long as the window has room: what was in flight before, then last values.
   */
  #useRoom(): void {
    const link = this.#link;
    // What turns out too large to send frees its place in here: the loop goes on, without nesting.
    if (link === null || this.#filling) return;
    this.#filling = true;
    if (this.#window < this.#inFlight.size) this.#sendRest(link);
    while (this.#backlogHead < this.#backlog.length && !link.congested) {
      const next = this.#backlog[this.#backlogHead] as Outgoing;
      if (next.qos > 0 && !this.credit.available) break;
      this.#backlogHead++;
      if (next.qos === 0) this.#sendOnce(next);
      else {
        this.credit.take();
        this.#begin(next);
      }
    }
    if (this.#backlogHead > 0 && this.#backlogHead === this.#backlog.length) {
      this.#backlog = NO_BACKLOG;
      this.#backlogHead = 0;
    }
    this.#filling = false;
  }

  #sendRest(link: OutboxLink): void {
    for (const packet of [...this.#inFlight.values()]) {
      if (this.#window >= this.credit.limit) return;
      if (!packet.sent && packet.outgoing !== null) this.#send(link, packet, packet.outgoing);
    }
  }

  #enter(packet: InFlight): void {
    if (this.#inFlight === NONE) this.#inFlight = new Map();
    this.#inFlight.set(packet.packetId, packet);
  }

  /** The next free packet identifier: the window is far smaller than the 65,535 that there are. */
  #nextId(): number {
    do this.#lastId = this.#lastId === 65_535 ? 1 : this.#lastId + 1;
    while (this.#inFlight.has(this.#lastId));
    return this.#lastId;
  }
}
