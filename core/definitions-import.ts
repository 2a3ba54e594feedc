/**
 * Importing definitions: all of a document, or nothing of it. Everything is checked against what is
 * there, and everything that is wrong is named, before anything is made. What is there already as
 * the document has it stays as it is, so that importing again changes nothing.
 */
import { type AccountView, SYSTEM } from './auth.ts';
import { bindingJson, type Defined, isPredeclared } from './definitions.ts';
import {
  type DefinitionsDocument,
  type InVhost,
  readDefinitions,
  type UserEntry,
} from './definitions-document.ts';
import type { BindingSpec, Engine, Peer, Session } from './engine.ts';
import { reasonOf } from './errors.ts';

export interface ImportTarget extends Defined {
  readonly engine: Engine;
}

/** Nothing was imported; `problems` says why, each with where it stands in the document. */
export class DefinitionsError extends Error {
  override readonly name = 'DefinitionsError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`nothing was imported: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

const PEER: Peer = {
  address: '',
  loopback: true,
  tls: false,
  listener: 'definitions://',
  protocol: 'definitions',
};

/** Throws DefinitionsError. `only`: the document is of this vhost. */
export async function importDefinitions(
  into: ImportTarget,
  raw: unknown,
  only: string | null = null,
): Promise<void> {
  const document = readDefinitions(raw, only);
  const problems = [...document.problems, ...new Check(into, document, only).problems()];
  if (problems.length > 0) throw new DefinitionsError(problems);
  await makeAccounts(into, document);
  await makeTopology(into, document);
}

/** A document against what is there. */
class Check {
  readonly #into: ImportTarget;
  readonly #document: DefinitionsDocument;
  readonly #problems: string[] = [];
  readonly #vhosts: ReadonlySet<string>;
  readonly #users: ReadonlySet<string>;
  /** Exchanges that any vhost has. */
  readonly #predeclared: readonly string[];

  constructor(into: ImportTarget, document: DefinitionsDocument, only: string | null) {
    this.#into = into;
    this.#document = document;
    const made = document.vhosts.map(({ item }) => item.name);
    this.#vhosts = new Set([...into.admin.vhosts(), ...made]);
    const users = document.users.map(({ item }) => item.name);
    this.#users = new Set([...into.accounts.names(), ...users]);
    const [any = ''] = into.admin.vhosts();
    this.#predeclared = Array.from(into.admin.exchanges(any), ({ name }) => name).filter(
      isPredeclared,
    );
    if (only !== null && !this.#vhosts.has(only)) this.#wrong('', `there is no vhost '${only}'`);
  }

  problems(): readonly string[] {
    if (this.#problems.length > 0) return this.#problems;
    this.#checkVhosts();
    for (const { at, item } of this.#document.users) this.#checkUser(at, item);
    this.#checkPermissions();
    const { exchanges, queues, policies, limits } = this.#document;
    for (const { at, vhost } of limits) this.#inVhost(at, vhost);
    for (const { at, vhost, item } of exchanges) {
      if (!isPredeclared(item.name)) this.#propose(at, vhost, { exchange: item });
      else this.#inVhost(at, vhost);
    }
    for (const { at, vhost, item } of queues) this.#propose(at, vhost, { queue: item });
    for (const { at, vhost, item } of policies) this.#propose(at, vhost, item);
    this.#checkBindings();
    return this.#problems;
  }

  #checkVhosts(): void {
    const { nameBytesMax, queueTypes } = this.#into.engine.capabilities;
    for (const { at, item } of this.#document.vhosts) {
      const { name, defaultQueueType = '' } = item;
      if (!isName(name, nameBytesMax)) {
        this.#wrong(`${at}.name`, `expected 1 to ${nameBytesMax} bytes`);
      }
      if (defaultQueueType !== '' && !queueTypes.includes(defaultQueueType)) {
        this.#wrong(`${at}.default_queue_type`, `unknown queue type '${defaultQueueType}'`);
      }
    }
    const { admin } = this.#into;
    for (const { at, vhost, item } of this.#document.limits) {
      const view = admin.vhost(vhost);
      if (view?.limitsConfigured !== true) continue;
      const { connectionsMax, queuesMax } = view.limits;
      if (connectionsMax === item.connectionsMax && queuesMax === item.queuesMax) continue;
      this.#wrong(at, `the configuration file limits vhost '${vhost}'`);
    }
  }

  #checkUser(at: string, user: UserEntry): void {
    const { nameBytesMax } = this.#into.engine.capabilities;
    if (!isName(user.name, nameBytesMax)) {
      this.#wrong(`${at}.name`, `expected 1 to ${nameBytesMax} bytes`);
    }
    const view = this.#into.accounts.view(user.name);
    if (view?.configured !== true || isSameUser(view, user)) return;
    this.#wrong(at, `user '${user.name}' stands in the configuration file, otherwise than here`);
  }

  #checkPermissions(): void {
    const { permissions, topicPermissions } = this.#document;
    for (const { at, vhost, item } of [...permissions, ...topicPermissions]) {
      this.#inVhost(at, vhost);
      if (!this.#users.has(item.user)) this.#wrong(at, `there is no user '${item.user}'`);
    }
    for (const { at, vhost, item } of permissions) {
      const view = this.#into.accounts.view(item.user);
      const current = view?.permissions[vhost];
      if (view?.configured !== true || this.#into.admin.vhost(vhost)?.configured !== true) continue;
      const { configure, write, read } = item.permission;
      const same =
        current?.configure === configure && current.write === write && current.read === read;
      if (same || current === undefined) continue;
      this.#wrong(
        at,
        `permissions of '${item.user}' in '${vhost}' stand in the configuration file`,
      );
    }
  }

  #checkBindings(): void {
    const { admin } = this.#into;
    const known = new Map<string, { exchanges: Set<string>; queues: Set<string> }>();
    const namesOf = (vhost: string) => {
      let names = known.get(vhost);
      if (names !== undefined) return names;
      const { exchanges, queues } = this.#document;
      const made = (entries: readonly InVhost<{ readonly name: string }>[]): string[] =>
        entries.flatMap((entry) => (entry.vhost === vhost ? [entry.item.name] : []));
      const present = (list: Iterable<{ readonly name: string }>) =>
        Array.from(list, ({ name }) => name);
      names = {
        exchanges: new Set([...this.#predeclared, ...made(exchanges)]),
        queues: new Set([...present(admin.queues(vhost)), ...made(queues)]),
      };
      for (const name of present(admin.exchanges(vhost))) names.exchanges.add(name);
      known.set(vhost, names);
      return names;
    };
    for (const { at, vhost, item } of this.#document.bindings) {
      if (!this.#inVhost(at, vhost)) continue;
      const { exchanges, queues } = namesOf(vhost);
      const { source, destination, toExchange } = item;
      if (source === '') this.#wrong(`${at}.source`, 'the default exchange has no bindings');
      else if (!exchanges.has(source))
        this.#wrong(at, `no exchange '${source}' in vhost '${vhost}'`);
      if (!(toExchange ? exchanges : queues).has(destination)) {
        const what = toExchange ? 'exchange' : 'queue';
        this.#wrong(at, `no ${what} '${destination}' in vhost '${vhost}'`);
      }
    }
  }

  #propose(at: string, vhost: string, proposal: Parameters<Defined['admin']['check']>[1]): void {
    if (!this.#inVhost(at, vhost)) return;
    try {
      this.#into.admin.check(vhost, proposal);
    } catch (error) {
      this.#wrong(at, reasonOf(error).replaceAll(/\s+/g, ' ').trim());
    }
  }

  #inVhost(at: string, vhost: string): boolean {
    if (this.#vhosts.has(vhost)) return true;
    this.#wrong(at, `there is no vhost '${vhost}'`);
    return false;
  }

  #wrong(at: string, reason: string): void {
    this.#problems.push(at === '' ? reason : `${at}: ${reason}`);
  }
}

/** Of a user or a vhost: what is kept of them stands behind names with a NUL. */
export function isName(name: string, bytesMax: number): boolean {
  return name !== '' && Buffer.byteLength(name) <= bytesMax && !name.includes('\0');
}

function isSameUser(view: AccountView, user: UserEntry): boolean {
  return (
    user.passwordHash === view.passwordHash &&
    (user.hashing ?? view.hashing) === view.hashing &&
    [...view.tags].sort().join() === [...user.tags].sort().join() &&
    view.connectionsMax === user.connectionsMax &&
    view.channelsMax === user.channelsMax
  );
}

async function makeAccounts(into: ImportTarget, document: DefinitionsDocument): Promise<void> {
  const { admin, accounts } = into;
  for (const { item } of document.vhosts) {
    const { name, description, tags, defaultQueueType } = item;
    admin.putVhost(name, {
      ...(description === undefined ? {} : { description }),
      ...(tags === undefined ? {} : { tags }),
      ...(defaultQueueType === undefined ? {} : { defaultQueueType }),
    });
  }
  await Promise.all(
    document.users.map(async ({ item }) => {
      const view = accounts.view(item.name);
      if (view !== undefined && isSameUser(view, item)) return;
      await accounts.put(item.name, item, item.tags);
      accounts.setLimits(item.name, item);
    }),
  );
  for (const { vhost, item } of document.permissions) {
    accounts.setPermission(item.user, vhost, item.permission);
  }
  for (const { vhost, item } of document.topicPermissions) {
    accounts.setTopicPermission(item.user, vhost, item.exchange, item.permission);
  }
  for (const { vhost, item } of document.limits) {
    if (admin.vhost(vhost)?.limitsConfigured !== true) admin.setVhostLimits(vhost, item);
  }
}

async function makeTopology(into: ImportTarget, document: DefinitionsDocument): Promise<void> {
  const { admin, engine } = into;
  const { exchanges, queues, bindings, policies } = document;
  for (const { vhost, item } of policies) admin.setPolicy(vhost, item.kind, item.policy);
  const entries = [...exchanges, ...queues, ...bindings];
  for (const vhost of new Set(entries.map((entry) => entry.vhost))) {
    const session = await engine.open(vhost, SYSTEM, PEER);
    const of = <T>(list: readonly InVhost<T>[]): T[] =>
      list.flatMap((entry) => (entry.vhost === vhost ? [entry.item] : []));
    try {
      for (const spec of of(exchanges)) {
        if (!isPredeclared(spec.name)) await session.declareExchange(spec, false);
      }
      for (const spec of of(queues)) await session.declareQueue(spec, false);
      await bindAll(session, of(bindings), admin.bindings(vhost));
    } finally {
      await session.close();
    }
  }
}

/** A number in JSON has lost the type that a client gave it: what looks the same is the same. */
async function bindAll(
  session: Session,
  bindings: readonly BindingSpec[],
  current: Iterable<BindingSpec>,
): Promise<void> {
  const textOf = (binding: BindingSpec): string => JSON.stringify(bindingJson(binding));
  const known = new Set([...current].map(textOf));
  for (const binding of bindings) if (!known.has(textOf(binding))) await session.bind(binding);
}
