/** One client of a play over TCP, and what it sees in a form that can be compared. */
import { connect, type Socket } from 'node:net';
import {
  type Element,
  element,
  elementsOf,
  localName,
  namespaceOf,
  serialize,
} from '../../../../adapters/xmpp/element.ts';
import { Framer } from '../../../../adapters/xmpp/framer.ts';
import { parseElement } from '../../../../adapters/xmpp/tokenizer.ts';
import { plain } from '../pipe-client.ts';

const PREFIXES = new Map([['stream', 'http://etherx.jabber.org/streams']]);
const HEADER =
  "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/** Names of people, rooms and nodes get the number of the play, so that plays share nothing. */
const NAMES = /\b(alice|bob|carol|room|thing)(\d*)(?=@|\b)/g;

const UNCOMPARED = new Set([
  'urn:xmpp:sid:0',
  'jabber:x:delay',
  'vcard-temp:x:update',
  'urn:xmpp:occupant-id:0',
]);

export class Actor {
  readonly #socket: Socket;
  readonly #play: number;
  readonly #sent = new Set<string>();
  #jid = '';
  #seen: Element[] = [];
  #closed = false;
  #barrier = 0;
  #wake: () => void = () => {};

  private constructor(socket: Socket, play: number) {
    this.#socket = socket;
    this.#play = play;
    const handler = {
      open: true,
      header: () => {},
      element: (text: string) => {
        this.#seen.push(parseElement(text, PREFIXES));
        this.#wake();
      },
      footer: () => {
        this.#closed = true;
        this.#wake();
      },
    };
    let framer = new Framer(handler, false, 1 << 24, 256);
    this.restart = () => {
      framer = new Framer(handler, false, 1 << 24, 256);
    };
    socket.on('data', (chunk) => framer.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  readonly restart: () => void;

  static async open(port: number, play: number): Promise<Actor> {
    const socket = connect(port, '127.0.0.1');
    const actor = new Actor(socket, play);
    await new Promise((resolve) => socket.once('connect', resolve));
    return actor;
  }

  /** Logs in and binds. */
  async login(user: string, resource: string): Promise<void> {
    this.#jid = `${user}${this.#play}@localhost`;
    await this.authenticate(user);
    this.send(
      `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    );
    await this.#until(() => this.#seen.some((node) => node.attrs.id === 'bind'));
    this.#seen = [];
  }

  async authenticate(user: string): Promise<void> {
    this.#socket.write(HEADER);
    await this.#until(() => this.#seen.length > 0);
    this.#seen = [];
    const token = plain(`${user}${this.#play}`, 'secret');
    this.#socket.write(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${token}</auth>`,
    );
    await this.#until(() => this.#seen.length > 0);
    this.#seen = [];
    this.restart();
    this.#socket.write(HEADER);
    await this.#until(() => this.#seen.length > 0);
    this.#seen = [];
  }

  send(xml: string): void {
    for (const [, id] of xml.matchAll(/\bid='([^']*)'/g)) if (id !== undefined) this.#sent.add(id);
    this.#socket.write(xml.replaceAll(NAMES, `$1${this.#play}`));
  }

  /** Waits until everything that was caused so far has come. */
  async settle(): Promise<void> {
    if (this.#closed) return;
    const id = `barrier-${++this.#barrier}`;
    this.#socket.write(
      `<iq type='get' id='${id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    await this.#until(() => this.#closed || this.#seen.some((node) => node.attrs.id === id));
    this.#seen = this.#seen.filter((node) => node.attrs.id !== id);
  }

  /** What came since the last call, canonical. */
  take(): string[] {
    const seen = this.#seen
      .filter((node) => namespaceOf(node) !== 'urn:xmpp:sm:3' || localName(node) !== 'r')
      .map((node) => this.#canonical(node));
    this.#seen = [];
    if (this.#closed) seen.push('closed');
    return seen;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #until(reached: () => boolean): Promise<void> {
    while (!reached() && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Without what servers are free in: ids of their own, times, texts, the order of attributes. */
  #canonical(node: Element): string {
    const text = serialize(this.#normal(node, ''));
    return text.replaceAll(NAMES, '$1');
  }

  #normal(node: Element, inherited: string): Element {
    const namespace = namespaceOf(node);
    const attributes: Record<string, string> = {};
    if (namespace !== inherited) attributes['xmlns'] = namespace;
    for (const name of Object.keys(node.attrs).sort()) {
      const value = node.attrs[name];
      if (value === undefined || name.startsWith('xmlns') || name === 'xml:lang') continue;
      if (name === 'id' && !this.#sent.has(value)) continue;
      if (name === 'ver' || (name === 'jid' && node.name === 'actor')) continue;
      if ((name === 'by' && node.name === 'error') || this.#isOwn(node, name, value)) continue;
      attributes[name] = /^(stamp|seconds)$/.test(name) ? '*' : value;
    }
    const made = element(localName(node), attributes);
    for (const child of node.children) {
      if (typeof child === 'string') {
        if (!/^\s*$/.test(child)) made.append(child);
        continue;
      }
      const inner = namespaceOf(child);
      if (localName(child) === 'text' && inner === 'urn:ietf:params:xml:ns:xmpp-stanzas') continue;
      if (UNCOMPARED.has(inner)) continue;
      if (inner === 'urn:xmpp:delay' && node.name === 'presence') continue;
      if (localName(child) === 'text' && inner === 'urn:ietf:params:xml:ns:xmpp-streams') continue;
      made.append(this.#normal(child, namespace));
    }
    if (/^(x|query|features|mechanisms)$/.test(made.name)) sortChildren(made);
    return made;
  }

  /** One's own address may be left out, but in a message it tells what was written to. */
  #isOwn(node: Element, name: string, value: string): boolean {
    if (name === 'from') return node.name === 'iq' && value === this.#jid;
    const own = value === this.#jid || value.startsWith(`${this.#jid}/`);
    return name === 'to' && own && node.name !== 'message';
  }
}

function sortChildren(node: Element): void {
  const texts = node.children.filter((child) => typeof child === 'string');
  const elements = elementsOf(node).sort((a, b) => (serialize(a) < serialize(b) ? -1 : 1));
  node.children = [...texts, ...elements];
}
