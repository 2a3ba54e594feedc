/** A proxy for MQTT that breaks a connection at chosen packets, before or after they pass. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { PacketFramer } from '../../../adapters/mqtt/framer.ts';
import { PacketType } from '../../../adapters/mqtt/packet.ts';

export interface Cut {
  /** `up`: from the client. */
  readonly direction: 'up' | 'down';
  readonly type: number;
  /** Whether the packet still passes. */
  readonly passes: boolean;
}

/** Every step of QoS 2 in both directions, its packet lost or only its answer. */
export const QOS2_CUTS: readonly Cut[] = (['up', 'down'] as const).flatMap((direction) =>
  [PacketType.PUBLISH, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP].flatMap((type) =>
    [false, true].map((passes) => ({ direction, type, passes })),
  ),
);

export interface CuttingProxy {
  readonly port: number;
  /** Cuts that were not made yet. */
  readonly left: ReadonlySet<Cut>;
  close(): void;
}

/** Each cut is made once, wherever its packet comes by first; one connection has one cut. */
export async function startCuttingProxy(port: number, cuts: readonly Cut[]): Promise<CuttingProxy> {
  const left = new Set(cuts);
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const broker = connect(port, '127.0.0.1');
    const ends = [client, broker];
    const breakOff = (): void => {
      for (const end of ends) end.destroy();
    };
    for (const end of ends) {
      open.add(end);
      end.setNoDelay();
      end.on('error', breakOff);
      end.on('close', () => {
        open.delete(end);
        breakOff();
      });
    }
    const pass = (from: Socket, to: Socket, direction: Cut['direction']): void => {
      const framer = new PacketFramer(1e9);
      from.on('data', (chunk) => {
        framer.push(chunk);
        while (!from.destroyed && framer.next()) {
          const cut = [...left].find(
            (each) => each.direction === direction && each.type === framer.first >> 4,
          );
          if (cut === undefined || cut.passes) to.write(packetOf(framer));
          if (cut === undefined) continue;
          left.delete(cut);
          // What passes arrives before the connection breaks.
          if (cut.passes) to.end(breakOff);
          else breakOff();
          from.destroy();
        }
        framer.keep();
      });
    };
    pass(client, broker, 'up');
    pass(broker, client, 'down');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    left,
    close: () => {
      server.close();
      for (const end of open) end.destroy();
    },
  };
}

/** A copy of the packet that was found. */
function packetOf({ bytes, first, start, end }: PacketFramer): Buffer {
  const head = [first];
  for (let length = end - start; ; length >>>= 7) {
    head.push(length < 0x80 ? length : (length & 0x7f) | 0x80);
    if (length < 0x80) break;
  }
  return Buffer.concat([Buffer.from(head), bytes.subarray(start, end)]);
}
