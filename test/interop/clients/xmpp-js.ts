/** @xmpp/client over TCP and WebSocket. Its reply address is itself: answers come to its full JID. */
import {
  bytesOf,
  type Client,
  Inbox,
  type Outgoing,
  type Place,
  type Received,
  type Target,
} from './client.ts';
import { contentOf, jidOf, NS, readMessage } from './xmpp.ts';
import { client as createClient, type XmppClient, type XmppElement, xml } from './xmpp-library.ts';

const PUBSUB = 'pubsub.localhost';

export const xmppJsTcp = (target: Target): Promise<Client> =>
  connect(target, `xmpp://127.0.0.1:${target.port('xmpp')}`);

export const xmppJsWeb = (target: Target): Promise<Client> =>
  connect(target, `ws://127.0.0.1:${target.port('http')}/xmpp-websocket`);

async function connect({ user, password }: Target, service: string): Promise<Client> {
  const client = createClient({ service, domain: 'localhost', username: user, password });
  client.reconnect.stop();
  client.on('error', () => {});
  const jid = await client.start();
  await client.send(xml('presence', {}));
  return new XmppJsClient(client, jid.toString());
}

class XmppJsClient implements Client {
  readonly protocol = 'xmpp';
  readonly #client: XmppClient;
  readonly #jid: string;
  /** By the bare JID or the node that messages come from. */
  readonly #inboxes = new Map<string, Inbox>();
  readonly #direct: Inbox;
  #waiting: { readonly from: string; readonly resolve: () => void }[] = [];
  #ids = 0;

  constructor(client: XmppClient, jid: string) {
    this.#client = client;
    this.#jid = jid;
    this.#direct = new Inbox(`XMPP ${jid}`);
    client.on('stanza', (stanza) => this.#onStanza(stanza));
  }

  consume(place: Place): Promise<Inbox> {
    if (place.kind === 'person') return Promise.resolve(this.#direct);
    return place.kind === 'topic' ? this.#subscribe(place.key) : this.#attend(jidOf(place));
  }

  async publish(place: Place, message: Outgoing): Promise<void> {
    if (place.kind === 'topic') await this.#publishItem(nodeOf(place.key), message);
    else await this.#send(jidOf(place), message);
  }

  async request(place: Place, message: Outgoing): Promise<Received> {
    await this.#send(jidOf(place), message);
    const wanted = bytesOf(message.correlationId ?? '');
    return this.#direct.find((reply) => reply.correlationId?.equals(wanted) === true);
  }

  async close(): Promise<void> {
    await this.#client.stop();
  }

  /** Pubsub, as XEP-0060 has it. */
  async #subscribe(key: string): Promise<Inbox> {
    const node = nodeOf(key);
    const inbox = new Inbox(`XMPP node ${node}`);
    this.#inboxes.set(node, inbox);
    await this.#request(xml('subscribe', { node, jid: this.#jid }));
    return inbox;
  }

  /** Directed presence; the place answers with its own. */
  async #attend(jid: string): Promise<Inbox> {
    const inbox = new Inbox(`XMPP ${jid}`);
    this.#inboxes.set(jid, inbox);
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ from: jid, resolve });
      this.#client.send(xml('presence', { to: jid })).catch(reject);
    });
    return inbox;
  }

  async #publishItem(node: string, message: Outgoing): Promise<void> {
    // An item has an id of its own, which the gateway chooses where there is none.
    const { messageId } = message;
    const stanza = this.#stanza({ xmlns: NS.CLIENT }, message);
    const item = xml('item', messageId === undefined ? {} : { id: messageId }, stanza);
    await this.#request(xml('publish', { node }, item));
  }

  async #request(command: XmppElement): Promise<void> {
    const iq = xml('iq', { type: 'set', to: PUBSUB }, xml('pubsub', { xmlns: NS.PUBSUB }, command));
    await this.#client.iqCaller.request(iq);
  }

  async #send(to: string, message: Outgoing): Promise<void> {
    await this.#client.send(this.#stanza({ to }, message));
  }

  #stanza(attributes: Readonly<Record<string, string>>, message: Outgoing): XmppElement {
    const type = message.persistent === false ? 'headline' : 'chat';
    const id = message.messageId ?? `m${++this.#ids}`;
    return xml('message', { ...attributes, type, id }, ...contentOf(message));
  }

  #onStanza(stanza: XmppElement): void {
    const from = stanza.attrs['from'] ?? '';
    const [bare = ''] = from.split('/');
    if (stanza.is('presence')) {
      this.#waiting = this.#waiting.filter((waiting) => {
        if (waiting.from !== bare) return true;
        waiting.resolve();
        return false;
      });
      return;
    }
    if (!stanza.is('message') || stanza.attrs['type'] === 'error') return;
    const items = stanza.getChild('event', NS.EVENT)?.getChild('items');
    if (items !== undefined) {
      this.#onItems(items, from);
      return;
    }
    const answer = (content: XmppElement[]): Promise<void> =>
      this.#client.send(xml('message', { to: from, type: 'chat' }, ...content));
    const inbox = this.#inboxes.get(bare) ?? this.#direct;
    inbox.push(readMessage(stanza, from, answer));
  }

  #onItems(items: XmppElement, from: string): void {
    const node = items.attrs['node'] ?? '';
    for (const item of items.getChildren('item')) {
      const message = item.getChild('message', NS.CLIENT);
      if (message === undefined) continue;
      const nobody = (): Promise<void> => Promise.reject(new Error('an item has no sender'));
      this.#inboxes.get(node)?.push(readMessage(message, from, nobody));
    }
  }
}

function nodeOf(key: string): string {
  return key.replaceAll('.', '/');
}
