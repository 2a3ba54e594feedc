/**
 * All sessions by vhost and client identifier: takeover, expiry, and wills that wait.
 *
 *   (none) ── acquire ──▶ CONNECTED ── release ──▶ AWAY ── acquire ──▶ CONNECTED
 *                              │ expiry 0            │ expiry, or a clean start
 *                              └──────▶ ended ◀──────┘
 *
 * A will that waits for its delay is published when the delay is over or the session ends,
 * whichever is first, and not at all when the client is back before (MQTT 5 section 3.1.3.2.2).
 * Restarts change nothing of that; to clients that a crash cut off, the restart is when they left.
 */
import type { Principal } from '../../core/auth.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import type { Admin, Eventually } from '../../core/engine.ts';
import { BrokerError, reasonOf } from '../../core/errors.ts';
import { after, isPending } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import type { Random } from '../../core/random.ts';
import { chain } from './chain.ts';
import { PUBLISHER_BYTES } from './native.ts';
import { sweepOrphans } from './orphans.ts';
import { MqttSession } from './session.ts';
import type { SessionContext, SessionIdentity } from './session-context.ts';
import type { SessionRecord, SessionStore } from './session-store.ts';
import { parseFilter, sessionQueueName } from './topic.ts';
import type { BrokerPublisher, Will } from './will.ts';
import type { KeptWill, WillStore } from './will-store.ts';

/** Session Expiry Interval for ever [MQTT 3.1.2.11.2]. */
const FOREVER_SECONDS = 0xffffffff;

interface Entry {
  readonly session: MqttSession;
  expiry: Timer | null;
  will: Will | null;
  willTimer: Timer | null;
}

export interface RegistryContext {
  readonly session: Omit<SessionContext, 'subscribed' | 'unsubscribed' | 'drawTag'>;
  readonly store: SessionStore;
  readonly wills: WillStore;
  /** What is stored is there after a restart. */
  readonly outlives: boolean;
  readonly admin: Admin;
  readonly publisher: BrokerPublisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly sessionsMax: number;
  /** A user as if logged in; `unknown` where there is none of that name any more. */
  principalOf(user: string): Eventually<Principal | 'refused' | 'unknown'>;
}

/** What a CONNECT says of its session. */
export interface Claim {
  readonly clean: boolean;
  readonly expirySeconds: number;
  readonly will: Will | null;
}

export interface Acquired {
  readonly session: MqttSession;
  readonly present: boolean;
  /** Done when what was there before under its name is gone. */
  readonly ready: Eventually<void>;
}

export class SessionRegistry {
  readonly #context: RegistryContext;
  readonly #sessionContext: SessionContext;
  readonly #entries = new Map<string, Entry>();
  /** Sessions that are still being removed, by an engine that answers later. */
  readonly #ending = new Map<string, Promise<void>>();
  /** Wills from before a restart that nothing was done about yet. */
  #unsaid: Map<string, KeptWill> = new Map();

  constructor(context: RegistryContext) {
    this.#context = context;
    this.#sessionContext = {
      ...context.session,
      drawTag: () => context.random.bytes(PUBLISHER_BYTES),
      subscribed: ({ vhost, clientId }, subscription) => {
        const key = keyOf(vhost, clientId);
        const session = this.#entries.get(key)?.session;
        if (session === undefined || session.expirySeconds === 0) return;
        context.store.subscribe(key, subscription);
        // It may have drawn its name as a publisher for this one.
        if (subscription.options.noLocal) this.#save(session, 0);
      },
      unsubscribed: ({ vhost, clientId }, filter) => {
        context.store.unsubscribe(keyOf(vhost, clientId), filter);
      },
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Sessions that outlived a restart. */
  restore(): void {
    const { store, admin, log, session } = this.#context;
    const records = store.load();
    const owned = new Set<string>();
    for (const { vhost, clientId, wishes } of records.values()) {
      owned.add(keyOf(vhost, sessionQueueName(clientId)));
      for (const { request } of wishes) {
        const target = parseFilter(request.filter, session.exchange);
        if (target?.kind === 'pattern' && target.sharedQueue !== null) {
          owned.add(keyOf(vhost, target.sharedQueue));
        }
      }
    }
    sweepOrphans({ admin, log, open: session.open }, (vhost, queue) =>
      owned.has(keyOf(vhost, queue)),
    );
    for (const [key, record] of records) this.#restore(key, record);
    this.#unsaid = this.#context.wills.load();
    // When every protocol is there to hear it.
    if (this.#unsaid.size > 0) this.#context.clock.soon(() => this.#restoreWills());
  }

  /**
   * The session of a client that has just logged in; whoever had it is disconnected [MQTT-3.1.4-3].
   * Throws BrokerError where there are too many.
   */
  acquire(identity: SessionIdentity, { clean, expirySeconds, will }: Claim): Acquired {
    const { wills } = this.#context;
    const key = keyOf(identity.vhost, identity.clientId);
    this.#unsaid.delete(key);
    this.#entries.get(key)?.session.link?.replaced();
    let entry = this.#entries.get(key);
    // A session is its user's: another gets a new one of that name.
    if (entry !== undefined && (clean || entry.session.identity.user !== identity.user)) {
      this.#end(key, entry);
      entry = undefined;
    }
    const present = entry !== undefined;
    if (!present && this.#entries.size >= this.#context.sessionsMax) {
      throw new BrokerError('resource-exhausted', 'there are too many MQTT sessions');
    }
    entry ??= this.#add(key, identity, null, false);
    entry.expiry?.cancel();
    entry.expiry = null;
    entry.willTimer?.cancel();
    entry.willTimer = null;
    entry.will = null;
    entry.session.expirySeconds = expirySeconds;
    this.#save(entry.session, 0);
    if (will === null) wills.forget(key);
    else wills.keep(key, will, 0);
    return { session: entry.session, present, ready: this.#ending.get(key) };
  }

  /** The session's connection is gone; `will` is what its client left to be said. */
  release(session: MqttSession, will: Will | null): void {
    session.detach();
    const { vhost, clientId } = session.identity;
    const key = keyOf(vhost, clientId);
    const entry = this.#entries.get(key);
    if (entry?.session !== session) return;
    const now = this.#context.clock.now();
    entry.will = will;
    if (session.expirySeconds === 0) {
      this.#end(key, entry);
      return;
    }
    this.#save(session, now);
    this.#expireIn(key, entry, session.expirySeconds * 1000);
    this.#sendWillAt(key, entry, now + (will?.fields.delaySeconds ?? 0) * 1000);
  }

  /**
   * The broker is stopping: sessions, and wills that wait, stay as they are stored. Where nothing
   * outlives it, such wills are said now.
   */
  close(): void {
    for (const [key, entry] of this.#entries) {
      entry.expiry?.cancel();
      if (!this.#context.outlives) this.#sendWill(key, entry);
      entry.willTimer?.cancel();
      void entry.session.close();
    }
    this.#entries.clear();
  }

  /** The vhost is deleted, and with it the queues of its sessions; wills have nowhere to go. */
  forgetVhost(vhost: string): void {
    for (const [key, entry] of [...this.#entries]) {
      if (entry.session.identity.vhost !== vhost) continue;
      entry.will = null;
      this.#end(key, entry);
    }
    for (const [key, kept] of this.#unsaid) {
      if (kept.vhost !== vhost) continue;
      this.#unsaid.delete(key);
      this.#context.wills.forget(key);
    }
  }

  #add(key: string, identity: SessionIdentity, tag: Buffer | null, restored: boolean): Entry {
    const packets = this.#context.store.packets(key);
    const session = new MqttSession(identity, this.#sessionContext, packets, tag, restored);
    const entry: Entry = { session, expiry: null, will: null, willTimer: null };
    this.#entries.set(key, entry);
    return entry;
  }

  #restore(key: string, record: SessionRecord): void {
    const { vhost, clientId, user, tag, expirySeconds, leftAt } = record;
    const { clock, log } = this.#context;
    const entry = this.#add(key, { vhost, clientId, user }, tag, true);
    const { session } = entry;
    session.expirySeconds = expirySeconds;
    session.restorePackets(record.taken, record.sent);
    const left = leftAt === 0 ? clock.now() : leftAt;
    void after(
      () =>
        record.wishes.reduce<Eventually<void>>(
          (ready, wish) => chain(ready, () => session.restore(wish)),
          undefined,
        ),
      () => this.#expireIn(key, entry, left + expirySeconds * 1000 - clock.now()),
      (error) => {
        // Its vhost or an exchange is gone.
        log.warn({ client: clientId, reason: reasonOf(error) }, 'session not restored');
        this.#end(key, entry);
      },
    );
    if (leftAt === 0) this.#save(session, left);
  }

  #expireIn(key: string, entry: Entry, delayMs: number): void {
    if (entry.session.expirySeconds >= FOREVER_SECONDS) return;
    entry.expiry = this.#context.clock.after(delayMs, () => this.#end(key, entry));
  }

  #end(key: string, entry: Entry): void {
    this.#entries.delete(key);
    entry.expiry?.cancel();
    this.#sendWill(key, entry);
    this.#context.store.remove(key, entry.session.subscriptions.keys());
    const failed = (error: unknown): void =>
      this.#context.log.warn({ session: key, reason: reasonOf(error) }, 'session not removed');
    const ended = after(
      () => entry.session.end(),
      () => {},
      failed,
    );
    if (!isPending(ended)) return;
    const ending = ended.finally(() => {
      if (this.#ending.get(key) === ending) this.#ending.delete(key);
    });
    this.#ending.set(key, ending);
  }

  #restoreWills(): void {
    const { principalOf, log } = this.#context;
    for (const [key, kept] of this.#unsaid) {
      const { user } = kept;
      void after(
        () => principalOf(user),
        (principal) => this.#restoreWill(key, kept, principal),
        (error) => log.warn({ user, reason: reasonOf(error) }, 'will not restored'),
      );
    }
  }

  #restoreWill(key: string, kept: KeptWill, principal: Principal | string): void {
    const { wills, publisher, clock, log } = this.#context;
    // Its client may be back.
    if (this.#unsaid.get(key) !== kept) return;
    this.#unsaid.delete(key);
    const { vhost, user, fields, dueAt } = kept;
    if (typeof principal === 'string') {
      log.info({ user, topic: fields.topic }, 'will refused');
      wills.forget(key);
      return;
    }
    const will = { vhost, principal, fields };
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      publisher.publishWill(will);
      wills.forget(key);
      return;
    }
    entry.will = will;
    const delayMs = fields.delaySeconds * 1000;
    this.#sendWillAt(key, entry, dueAt === 0 ? clock.now() + delayMs : dueAt);
  }

  #sendWillAt(key: string, entry: Entry, dueAt: number): void {
    const { clock, wills } = this.#context;
    const leftMs = dueAt - clock.now();
    if (entry.will === null || leftMs <= 0) {
      this.#sendWill(key, entry);
      return;
    }
    wills.keep(key, entry.will, dueAt);
    entry.willTimer = clock.after(leftMs, () => this.#sendWill(key, entry));
  }

  /** Says the will, if there is one; either way nothing is kept of it. */
  #sendWill(key: string, entry: Entry): void {
    entry.willTimer?.cancel();
    entry.willTimer = null;
    const { will } = entry;
    entry.will = null;
    if (will !== null) this.#context.publisher.publishWill(will);
    if (!this.#unsaid.has(key)) this.#context.wills.forget(key);
  }

  #save(session: MqttSession, leftAt: number): void {
    const { vhost, clientId } = session.identity;
    const key = keyOf(vhost, clientId);
    if (session.expirySeconds > 0) this.#context.store.save(key, session, leftAt);
    else this.#context.store.remove(key, session.subscriptions.keys());
  }
}

function keyOf(vhost: string, clientId: string): string {
  return `${vhost}\0${clientId}`;
}
