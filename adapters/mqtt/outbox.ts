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
 *
 * QoS 2 is exactly once across crashes, too: PUBLISH and PUBREL leave when what they say is safe.
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
  /** The message's place in the session's own queue; 0: it is of another, or of none. */
  readonly place: number;
  /** A crash would not make what it says to the client untrue: it may be said. */
  safe: boolean;
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

/** A QoS 2 message on its way to the client. */
export interface SentPacket {
  readonly packetId: number;
  readonly place: number;
  /** The client has it: PUBREL is owed, or sent. */
  readonly released: boolean;
}

/** Packet identifiers of QoS 2 exchanges that are half done, kept across restarts. */
export interface PacketStore {
  /** Whether anything is: a session that ends with its connection has nothing to keep. */
  kept: boolean;
  /** Taken from the client, which has not released it. */
  addTaken(packetId: number): void;
  removeTaken(packetId: number): void;
  /** Adds what is sent to the client, or changes it. */
  putSent(packet: SentPacket): void;
  removeSent(packetId: number): void;
  /** Calls `done` when everything before would survive a crash; at once where nothing is kept. */
  safe(done: () => void): void;
}

// What sessions have that never sent anything to be acknowledged: nothing is ever added to these.
const NONE = new Map<number, InFlight>();
const NO_BACKLOG: Outgoing[] = [];
/** Of sessions that no restart interrupted. */
const NO_PLACES = new Map<number, SentPacket>();

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
  /** What was on its way before a restart, by place: it comes again from the session's queue. */
  #places = NO_PLACES;
  #link: OutboxLink | null = null;
  #lastId = 0;
  /** Packets on the present connection that take a place of the window. */
  #window = 0;
  /** Packets that wait until they are safe; later ones wait behind them. */
  #unsafe = 0;
  /** The window was too small to send all again that was in flight. */
  #behind = false;
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

  /**
   * QoS 2 messages that were on their way before a restart. The client may hold the identifier of
   * each: what it was sent comes again under the same one, and PUBREL is owed for the others.
   */
  restore(packets: Iterable<SentPacket>): void {
    for (const packet of packets) {
      this.#lastId = Math.max(this.#lastId, packet.packetId);
      if (packet.place > 0) {
        if (this.#places === NO_PLACES) this.#places = new Map();
        this.#places.set(packet.place, packet);
      }
      if (packet.released || packet.place === 0) this.#owe(packet);
    }
  }

  /** The session's queue is another one: places in the old one mean nothing any more. */
  forgetPlaces(): void {
    const places = [...this.#places.values()];
    this.#places = NO_PLACES;
    for (const packet of places) if (!packet.released) this.#owe(packet);
    for (const { packetId, outgoing } of this.#inFlight.values()) {
      if (outgoing?.qos === 2) this.#packets.putSent({ packetId, place: 0, released: false });
    }
  }

  /** PUBREL, for what the client may hold. */
  #owe({ packetId, place, released }: SentPacket): void {
    const owed = { packetId, place, outgoing: null, sent: false, everSent: true, safe: true };
    this.#enter(owed);
    if (!released) this.#packets.putSent({ packetId, place, released: true });
    this.credit.take();
    if (this.#link !== null) this.#sendRelease(this.#link, owed);
  }

  /**
   * A connection has come: what is in flight is sent again in its order [MQTT-4.4.0-1,
   * MQTT-4.6.0-1].
   */
  attach(link: OutboxLink, receiveMaximum: number): void {
    this.#link = link;
    this.#window = 0;
    this.#behind = false;
    this.credit.limit = receiveMaximum;
    for (const packet of [...this.#inFlight.values()]) {
      if (!packet.safe) continue;
      if (packet.outgoing === null) this.#sendRelease(link, packet);
      else this.#sendAgain(link, packet, packet.outgoing);
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
      if (outgoing.qos === 2) this.#packets.removeSent(packet.packetId);
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
    for (const { packetId } of this.#places.values()) this.#packets.removeSent(packetId);
    for (const { packetId, outgoing } of held) {
      if (outgoing?.qos !== 1) this.#packets.removeSent(packetId);
      outgoing?.delivery?.settle(outgoing.qos === 2 ? Outcome.REJECT : Outcome.REQUEUE);
    }
    this.#places = NO_PLACES;
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
    if (outgoing === null) {
      if (packet.safe && this.#link !== null) this.#release(this.#link, packet);
      return true;
    }
    packet.outgoing = null;
    this.#packets.putSent({ packetId, place: packet.place, released: true });
    this.#counters.acknowledged++;
    if (outgoing.delivery !== null) {
      // The place of the window stays taken until PUBCOMP [MQTT-4.9.0-2].
      this.credit.take();
      outgoing.delivery.settle(Outcome.ACCEPT);
    }
    // Not before the message is gone for good: after PUBREL the client forgets that it had it.
    this.#whenSafe(packet, (link) => this.#release(link, packet));
    return true;
  }

  /** PUBCOMP. False: nothing waits for it. Throws `Violation` where PUBREL was not sent. */
  completed(packetId: number): boolean {
    const packet = this.#inFlight.get(packetId);
    if (packet === undefined) return false;
    if (packet.outgoing !== null) throw protocolError('a PUBCOMP before PUBREL');
    this.#packets.removeSent(packetId);
    this.#leave(packet);
    this.#freePlace();
    return true;
  }

  #begin(outgoing: Outgoing): void {
    const { delivery, qos } = outgoing;
    const own = outgoing.hold === Hold.SESSION && delivery !== null;
    const place = own ? delivery.position : 0;
    const known = own && this.#places.size > 0 ? this.#known(place) : undefined;
    if (known?.released === true) {
      // The client has it, and the crash came before it was out of its queue.
      delivery?.settle(Outcome.ACCEPT);
      return;
    }
    const packetId = known?.packetId ?? this.#nextId();
    const everSent = own && delivery.attempts > 0;
    const packet: InFlight = { packetId, place, outgoing, sent: false, everSent, safe: true };
    this.#enter(packet);
    if (qos === 1 && known !== undefined) this.#packets.removeSent(packetId);
    if (qos === 1 && this.#unsafe === 0) {
      if (this.#link !== null) this.#send(this.#link, packet, outgoing);
      return;
    }
    if (qos === 2 && known === undefined) {
      this.#packets.putSent({ packetId, place, released: false });
    }
    // Not before message and identifier are safe: after a crash neither may come as another.
    this.#whenSafe(packet, (link) => this.#sendAgain(link, packet, outgoing));
  }

  #release(link: OutboxLink, packet: InFlight): void {
    if (packet.sent) writeAck(link.output, ACK.PUBREL, packet.packetId, 0);
    else this.#sendRelease(link, packet);
  }

  /** Goes on with a packet, where it is still in flight by then and its client there. */
  #whenSafe(packet: InFlight, then: (link: OutboxLink) => void): void {
    packet.safe = false;
    this.#unsafe++;
    this.#packets.safe(() => {
      this.#unsafe--;
      if (this.#inFlight.get(packet.packetId) !== packet) return;
      packet.safe = true;
      if (this.#link !== null) then(this.#link);
    });
  }

  /** What was on its way from that place before a restart; whatever stood before it is gone. */
  #known(place: number): SentPacket | undefined {
    const known = this.#places.get(place);
    this.#places.delete(place);
    for (const packet of this.#places.values()) {
      if (packet.place > place) continue;
      this.#places.delete(packet.place);
      if (!packet.released) this.#owe(packet);
    }
    return known;
  }

  /** As far as the window goes. */
  #sendAgain(link: OutboxLink, packet: InFlight, outgoing: Outgoing): void {
    if (this.#window < this.credit.limit) this.#send(link, packet, outgoing);
    else this.#behind = true;
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
    if (packet.outgoing?.qos === 2) this.#packets.removeSent(packet.packetId);
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
    return this.#backlogHead < this.#backlog.length || this.#behind;
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
    if (this.#behind) this.#sendRest(link);
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
      if (packet.sent || !packet.safe || packet.outgoing === null) continue;
      if (this.#window >= this.credit.limit) return;
      this.#send(link, packet, packet.outgoing);
    }
    this.#behind = false;
  }

  #enter(packet: InFlight): void {
    if (this.#inFlight === NONE) this.#inFlight = new Map();
    this.#inFlight.set(packet.packetId, packet);
  }

  /** The next free packet identifier: the window is far smaller than the 65,535 that there are. */
  #nextId(): number {
    do this.#lastId = this.#lastId === 65_535 ? 1 : this.#lastId + 1;
    while (this.#inFlight.has(this.#lastId) || this.#isReserved(this.#lastId));
    return this.#lastId;
  }

  #isReserved(packetId: number): boolean {
    for (const packet of this.#places.values()) if (packet.packetId === packetId) return true;
    return false;
  }
}
