/** STOMP 1.2, as far as a load needs it: auto acknowledgement. */
import type { RawClient } from '../support/raw-client.ts';
import { Batch, type BenchProtocol, open, type Shape, stream, type Target } from './party.ts';

export const stomp: BenchProtocol = {
  name: 'stomp',
  port: 61_613,
  confirms: false,

  async consume(target, shape, _number, received) {
    const client = await login(target);
    client.send(`SUBSCRIBE\nid:0\ndestination:${destination(shape)}\nack:auto\nreceipt:s\n\n\0`);
    await client.readText('\0');
    const socket = stream(client, (chunk) => {
      // Bodies are text without NUL, so every one of them ends a frame.
      let count = 0;
      for (let at = chunk.indexOf(0); at !== -1; at = chunk.indexOf(0, at + 1)) count++;
      if (count > 0) received(count);
    });
    return { close: () => socket.destroy() };
  },

  async publish(target, shape) {
    const client = await login(target);
    const head =
      `SEND\ndestination:${destination(shape)}\ncontent-type:text/plain\n` +
      `content-length:${shape.size}\n\n`;
    const batch = new Batch(Buffer.from(`${head}${'x'.repeat(shape.size)}\0`));
    const socket = stream(client, () => {});
    return {
      publish: (count) => socket.write(batch.of(count)),
      close: () => socket.destroy(),
    };
  },
};

function destination({ consumers }: Shape): string {
  return consumers > 1 ? '/topic/bench' : '/queue/bench-stomp';
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
