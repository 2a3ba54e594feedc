/**
 * XMPP, as far as a load needs it: chat messages from one user to another, chat rooms, and pubsub
 * nodes as topics.
 */
import type { RawClient } from '../support/raw-client.ts';
import { Batch, type BenchProtocol, open, type Shape, stream, type Target } from './party.ts';

const END = '</message>';
/** Of a node's notification, which has a message in it. */
const EVENT_END = '</event>';

let publishers = 0;

export const xmpp: BenchProtocol = {
  name: 'xmpp',
  port: 5222,
  confirms: false,

  async consume(target, shape, number, received) {
    const client = await login(target, target.consumer, `consumer-${number}`);
    client.send('<presence/>');
    await client.readText('<presence');
    const mark = shape.route === 'topic' ? EVENT_END : END;
    if (shape.route === 'topic') await subscribe(client, target, number);
    if (shape.route === 'room') await enter(client, target, `consumer-${number}`);
    // An end tag may come in two chunks: the tail of the last one is looked at again.
    let tail = '';
    const socket = stream(client, (chunk) => {
      const text = tail + chunk.toString('latin1');
      let count = 0;
      let end = 0;
      for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, end)) {
        count++;
        end = at + mark.length;
      }
      tail = text.slice(Math.max(end, text.length - mark.length + 1));
      if (count > 0) received(count);
    });
    return { close: () => socket.destroy() };
  },

  async publish(target, shape) {
    publishers++;
    const client = await login(target, target.user, `publisher-${publishers}`);
    if (shape.route === 'room') await enter(client, target, `publisher-${publishers}`);
    const batch = new Batch(Buffer.from(message(target, shape)));
    const socket = stream(client, () => {});
    return {
      publish: (count) => socket.write(batch.of(count)),
      close: () => socket.destroy(),
    };
  },
};

function message({ consumer, domain }: Target, { route, size }: Shape): string {
  const body = `<body>${'x'.repeat(size)}</body>`;
  if (route === 'topic') {
    return `<message to='amq.topic%bench.topic@exchanges.${domain}' type='headline'>${body}${END}`;
  }
  if (route === 'room') {
    return `<message to='bench@rooms.${domain}' type='groupchat'>${body}${END}`;
  }
  const hint = route === 'passing' ? "<no-store xmlns='urn:xmpp:hints'/>" : '';
  return `<message to='${consumer}@${domain}/consumer-0' type='chat'>${body}${hint}${END}`;
}

/** A chat room; resolves when one is in it, which its subject says last (XEP-0045 7.2.15). */
async function enter(client: RawClient, { domain }: Target, nick: string): Promise<void> {
  const muc = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>";
  client.send(`<presence to='bench@rooms.${domain}/${nick}'>${muc}</presence>`);
  await client.readText('<subject');
  await client.readText(END);
}

/** To the node of the topic that the other protocols use. */
async function subscribe(client: RawClient, target: Target, number: number): Promise<void> {
  const jid = `${target.consumer}@${target.domain}/consumer-${number}`;
  client.send(
    `<iq type='set' id='sub' to='pubsub.${target.domain}'>` +
      "<pubsub xmlns='http://jabber.org/protocol/pubsub'>" +
      `<subscribe node='bench/topic' jid='${jid}'/></pubsub></iq>`,
  );
  const answer = await client.readText('</iq>');
  if (!answer.includes('subscribed')) throw new Error(`not subscribed: ${answer}`);
}

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
