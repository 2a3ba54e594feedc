/** XMPP, as far as a load needs it: chat messages from one user to another. */
import type { RawClient } from '../support/raw-client.ts';
import { Batch, type BenchProtocol, open, stream, type Target } from './party.ts';

const END = '</message>';

let publishers = 0;

export const xmpp: BenchProtocol = {
  name: 'xmpp',
  port: 5222,
  confirms: false,

  async consume(target, _shape, number, received) {
    const client = await login(target, target.consumer, `consumer-${number}`);
    client.send('<presence/>');
    await client.readText('<presence');
    // An end tag may come in two chunks: the tail of the last one is looked at again.
    let tail = '';
    const socket = stream(client, (chunk) => {
      const text = tail + chunk.toString('latin1');
      let count = 0;
      let end = 0;
      for (let at = text.indexOf(END); at !== -1; at = text.indexOf(END, end)) {
        count++;
        end = at + END.length;
      }
      tail = text.slice(Math.max(end, text.length - END.length + 1));
      if (count > 0) received(count);
    });
    return { close: () => socket.destroy() };
  },

  async publish(target, shape) {
    publishers++;
    const client = await login(target, target.user, `publisher-${publishers}`);
    const to = `${target.consumer}@${target.domain}/consumer-0`;
    const message = `<message to='${to}' type='chat'><body>${'x'.repeat(shape.size)}</body>${END}`;
    const batch = new Batch(Buffer.from(message));
    const socket = stream(client, () => {});
    return {
      publish: (count) => socket.write(batch.of(count)),
      close: () => socket.destroy(),
    };
  },
};

async function login(target: Target, user: string, resource: string): Promise<RawClient> {
  const client = await open(target);
  const header =
    `<?xml version='1.0'?><stream:stream to='${target.domain}' version='1.0' ` +
    "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
  client.send(header);
  await client.readText('</stream:features>');
  const secret = Buffer.from(`\0${user}\0${target.password}`).toString('base64');
  client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`);
  await client.readText('<success');
  await client.readText('>');
  client.send(header);
  await client.readText('</stream:features>');
  client.send(
    "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" +
      `<resource>${resource}</resource></bind></iq>`,
  );
  await client.readText('</iq>');
  return client;
}
