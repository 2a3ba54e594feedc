/** STOMP 1.2, as far as a load needs it: ack modes auto, and client-individual where confirmed. */
import type { RawClient } from '../support/raw-client.ts';
import {
  Batch,
  type BenchProtocol,
  Grade,
  open,
  type Shape,
  stream,
  type Target,
} from './party.ts';

const ACK = '\nack:';

export const stomp: BenchProtocol = {
  name: 'stomp',
  port: 61_613,
  confirms: false,

  async consume(target, shape, _number, received) {
    const client = await login(target);
    const confirmed = shape.grade !== Grade.TRANSIENT;
    const mode = confirmed ? 'client-individual\nprefetch-count:1000' : 'auto';
    client.send(
      `SUBSCRIBE\nid:0\ndestination:${destination(shape, '/queue')}\nack:${mode}\n` +
        'durable:false\nauto-delete:true\nreceipt:s\n\n\0',
    );
    await client.readText('\0');
    let rest = '';
    const acknowledge = (chunk: Buffer): void => {
      const frames = `${rest}${chunk.toString('latin1')}`.split('\0');
      rest = frames.pop() ?? '';
      let acks = '';
      for (const frame of frames) {
        const id = frame.slice(frame.indexOf(ACK) + ACK.length);
        acks += `ACK\nid:${id.slice(0, id.indexOf('\n'))}\n\n\0`;
      }
      if (acks !== '') client.send(acks);
    };
    const socket = stream(client, (chunk) => {
      // Bodies are text without NUL, so every one of them ends a frame.
      let count = 0;
      for (let at = chunk.indexOf(0); at !== -1; at = chunk.indexOf(0, at + 1)) count++;
      if (confirmed) acknowledge(chunk);
      if (count > 0) received(count);
    });
    return { close: () => socket.destroy() };
  },

  async publish(target, shape) {
    const client = await login(target);
    const head =
      `SEND\ndestination:${destination(shape, '/amq/queue')}\ncontent-type:text/plain\n` +
      `content-length:${shape.size}\n\n`;
    const batch = new Batch(Buffer.from(`${head}${'x'.repeat(shape.size)}\0`));
    const socket = stream(client, () => {});
    return {
      publish: (count) => socket.write(batch.of(count)),
      close: () => socket.destroy(),
    };
  },
};

/** The consumer declares the queue, `/queue`; publishers only name it, `/amq/queue`. */
function destination({ route }: Shape, kind: string): string {
  return route === 'queue' ? `${kind}/bench-frames` : '/topic/bench.topic';
}

async function login({ user, password, ...target }: Target): Promise<RawClient> {
  const client = await open({ user, password, ...target });
  client.send(
    `CONNECT\naccept-version:1.2\nhost:/\nlogin:${user}\npasscode:${password}\n` +
      'heart-beat:0,0\n\n\0',
  );
  const answer = await client.readText('\0');
  if (!answer.startsWith('CONNECTED')) throw new Error(`login refused: ${answer}`);
  return client;
}
