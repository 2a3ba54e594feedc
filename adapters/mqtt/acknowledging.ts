/** The client's answers to what it was sent: PUBACK, PUBREC and PUBCOMP. */
import type { Output } from '../output.ts';
import { decodeAck } from './decoder.ts';
import { ACK, writeAck } from './encoder.ts';
import type { Outbox } from './outbox.ts';
import { PacketType, type Version } from './packet.ts';
import { Reason } from './reason.ts';

/** One packet of a client; `outbox` is its session's. */
export interface AckBytes {
  readonly type: number;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly version: Version;
}

/** Throws `Violation` for one that is malformed, or not an answer to its PUBLISH. */
export function onAck(outbox: Outbox, output: Output, packet: AckBytes): void {
  const { type, bytes, start, end, version } = packet;
  const { packetId, reason } = decodeAck(bytes, start, end, version, type === PacketType.PUBCOMP);
  const failed = reason >= 0x80;
  switch (type) {
    case PacketType.PUBACK:
      outbox.acknowledged(packetId, failed);
      return;
    case PacketType.PUBREC:
      if (outbox.received(packetId, failed) || failed) return;
      // MQTT 3 has no reason codes: its client is helped on.
      writeAck(output, ACK.PUBREL, packetId, version === 5 ? Reason.PACKET_ID_NOT_FOUND : 0);
      return;
    default:
      outbox.completed(packetId);
  }
}
