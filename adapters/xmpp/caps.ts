/**
 * What clients can do (XEP-0115), as far as it concerns their server: the nodes they want to be
 * notified of (`…+notify`, XEP-0163 4.1). Each user's client is asked once a version string.
 */
import { childOf, childrenOf, type Element, element } from './element.ts';
import type { Host } from './host.ts';
import { NS } from './namespaces.ts';
import type { ClientSession } from './session.ts';
import { wireOf } from './wire.ts';

const NOTIFY = '+notify';
/** Version strings that are remembered; the oldest go. */
const KNOWN_MAX = 2000;
/** Nodes that one client may name. */
const NODES_MAX = 256;

export class Caps {
  readonly #host: Host;
  readonly #known = new Map<string, ReadonlySet<string>>();
  /** The version string that a session was asked about, by the id of the request. */
  readonly #asked = new WeakMap<ClientSession, { readonly id: string; readonly ver: string }>();
  readonly #wanted = new WeakMap<ClientSession, ReadonlySet<string>>();

  constructor(host: Host) {
    this.#host = host;
  }

  /** Whether a session wants to hear of a node. */
  wants(session: ClientSession, node: string): boolean {
    return this.#wanted.get(session)?.has(node) === true;
  }

  /** A resource's own presence: asks what it can do, unless that is known. */
  seen(session: ClientSession, presence: Element): void {
    const caps = childOf(presence, 'c', NS.CAPS);
    const { node, ver, hash } = caps?.attrs ?? {};
    if (node === undefined || ver === undefined || hash === undefined) return;
    const version = `${node}#${ver}`;
    const known = this.#known.get(`${session.jid.bare} ${version}`);
    if (known !== undefined) {
      this.#learnt(session, known);
      return;
    }
    if (this.#asked.get(session)?.ver === version) return;
    const id = this.#host.nextId();
    this.#asked.set(session, { id, ver: version });
    const request = element(
      'iq',
      { type: 'get', id, from: session.jid.bare, to: session.jid.full },
      element('query', { xmlns: NS.DISCO_INFO, node: version }),
    );
    session.send(wireOf(request), null);
  }

  /** A result that a client sent to its server or account. True where it was asked for here. */
  answered(session: ClientSession, iq: Element): boolean {
    const asked = this.#asked.get(session);
    if (asked === undefined || asked.id !== iq.attrs.id) return false;
    this.#asked.delete(session);
    const query = childOf(iq, 'query', NS.DISCO_INFO);
    if (iq.attrs.type !== 'result' || query === undefined) return true;
    const nodes = new Set<string>();
    for (const feature of childrenOf(query, 'feature', NS.DISCO_INFO)) {
      const name = feature.attrs.var ?? '';
      if (name.endsWith(NOTIFY) && nodes.size < NODES_MAX) nodes.add(name.slice(0, -NOTIFY.length));
    }
    // Only what one client says of itself: the hash is not verified, so it is not shared.
    this.#remember(`${session.jid.bare} ${asked.ver}`, nodes);
    this.#learnt(session, nodes);
    return true;
  }

  #remember(version: string, nodes: ReadonlySet<string>): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(version, nodes);
  }

  #learnt(session: ClientSession, nodes: ReadonlySet<string>): void {
    const before = this.#wanted.get(session) ?? new Set();
    this.#wanted.set(session, nodes);
    const fresh = [...nodes].filter((node) => !before.has(node));
    this.#host.personal.welcome(session, fresh);
  }
}
