/** The domain that is served: everything that its connections share. */
import type { Peer, Publisher, Session, Table } from '../../core/engine.ts';
import type { Limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { randomName } from '../../core/random.ts';
import type { Context } from '../adapter.ts';
import { Accounts } from './accounts.ts';
import { type Domains, domainsOf } from './address.ts';
import { Archives } from './archive.ts';
import { Blocking } from './blocking.ts';
import { Bookmarks } from './bookmarks.ts';
import { Caps } from './caps.ts';
import { Commands } from './commands.ts';
import type { Entity, Service } from './entity.ts';
import type { XmppFormat } from './format.ts';
import { Handled } from './handled.ts';
import { JsonTable } from './json-table.ts';
import type { ServerLink } from './link.ts';
import { Messages } from './messages.ts';
import type { XmppOptions } from './options.ts';
import { Personal } from './personal.ts';
import { Registration } from './registration.ts';
import { Requests } from './requests.ts';
import type { StoredRoster } from './roster.ts';
import { Router } from './router.ts';
import { Rpc } from './rpc.ts';
import type { ClientSession } from './session.ts';
import { Subscriptions } from './subscriptions.ts';

/** The peer of the adapter's own session. */
export const OWN_PEER: Peer = {
  address: 'xmpp',
  loopback: true,
  tls: false,
  listener: 'xmpp',
  protocol: 'xmpp',
};

export class Host {
  readonly context: Context;
  /** Of what the adapter asks for in its own name. */
  readonly peer: Peer = OWN_PEER;
  readonly options: XmppOptions;
  readonly domains: Domains;
  readonly limits: Limits;
  readonly log: Log;
  readonly counters: ProtocolCounters;
  readonly format: XmppFormat;
  /** The adapter's own session: inboxes, rooms, the queues of resources. */
  readonly system: Session;
  readonly accounts: Accounts;
  readonly router: Router;
  readonly messages: Messages;
  readonly requests: Requests;
  readonly commands: Commands;
  readonly registration: Registration;
  readonly rpc: Rpc;
  readonly bookmarks: Bookmarks;
  readonly subscriptions: Subscriptions;
  readonly blocking: Blocking;
  readonly archives: Archives;
  readonly caps: Caps;
  readonly personal: Personal;
  /** By domain. */
  readonly services = new Map<string, Service>();
  readonly components = new Map<string, Entity>();
  /** Other servers, by the domains of their people. */
  readonly links = new Map<string, ServerLink>();
  /** Sessions that may be resumed, by XEP-0198 id. */
  readonly resumable = new Map<string, ClientSession>();
  readonly handled: Handled;
  readonly rosters: JsonTable<StoredRoster>;
  readonly privates: JsonTable<Record<string, string>>;
  readonly lastSeen: JsonTable<number>;
  readonly cards: Table;
  readonly startedAt: number;
  /** Makes up SCRAM keys for users that do not exist. */
  readonly decoySecret: Buffer;
  readonly #publisher: Publisher;

  constructor(context: Context, options: XmppOptions, format: XmppFormat, system: Session) {
    this.context = context;
    this.options = options;
    this.domains = domainsOf(options.domain);
    this.limits = context.limits;
    this.log = context.log.child({ protocol: 'xmpp' });
    this.counters = context.meter.protocol('xmpp');
    this.format = format;
    this.system = system;
    this.startedAt = context.clock.now();
    this.decoySecret = context.random.bytes(32);
    const { engine } = context;
    this.rosters = new JsonTable(engine.table('xmpp.roster'));
    this.privates = new JsonTable(engine.table('xmpp.private'));
    this.lastSeen = new JsonTable(engine.table('xmpp.last'));
    this.cards = engine.table('xmpp.vcard');
    this.#publisher = system.publisher({
      settled: () => {},
      returned: () => {},
      writable: () => {},
    });
    this.accounts = new Accounts(this);
    this.router = new Router(this);
    this.messages = new Messages(this);
    this.requests = new Requests(this);
    this.commands = new Commands(this);
    this.registration = new Registration(this);
    this.rpc = new Rpc(this);
    this.bookmarks = new Bookmarks(this);
    this.subscriptions = new Subscriptions(this);
    this.blocking = new Blocking(this);
    this.archives = new Archives(this);
    this.caps = new Caps(this);
    this.personal = new Personal(this);
    this.handled = new Handled(this);
  }

  addService(service: Service): void {
    this.services.set(service.domain, service);
  }

  /** Publishes in the adapter's own name. */
  publish(message: Message): void {
    this.#publisher.publish(message, 0, false);
  }

  nextId(): string {
    return randomName(this.context.random);
  }

  /** Whether the user of `session` may do that; for what the adapter does on a user's behalf. */
  allows(session: Session, action: 'configure' | 'write' | 'read', resource: string): boolean {
    return this.context.authorizer.allows(session.principal, this.options.vhost, action, resource);
  }
}
