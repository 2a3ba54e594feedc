/**
 * What a resource of the HTTP API is made of: routes, each with what it needs of whom, and answers
 * in RabbitMQ's form. Nothing here knows the web server.
 */
import type { Principal } from '../../../core/auth.ts';
import type { JsonObject } from '../../../core/definitions.ts';
import { Fields, isObject } from '../../../core/definitions-document.ts';
import type { Eventually, Peer, Session } from '../../../core/engine.ts';
import { BrokerError, type ErrorCode } from '../../../core/errors.ts';
import type { Listening } from '../../../core/welcome.ts';
import type { Context } from '../../adapter.ts';

/** What all routes share. */
export interface Api {
  readonly context: Context;
  /** What the gateway still waits for before it is of use. */
  readonly missing: () => readonly string[];
  readonly listening: () => readonly Listening[];
}

/** By RabbitMQ's tags; each may do what those before it may. `anybody`: who has any of the tags. */
export type Need = 'anybody' | 'policymaker' | 'monitoring' | 'administrator';

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Below `/api`; `:vhost` must be there, and be for the asker to see. */
  readonly path: string;
  readonly needs: Need;
  /** The vhost need not be there: the route itself says what it answers then. */
  readonly ofAnyVhost?: boolean;
  /** Of its body, where it is more than usual. */
  readonly bodyBytesMax?: number;
  answer(call: Call): Eventually<Answer>;
}

export interface Answer {
  readonly status: number;
  /** To be sent as JSON; undefined: no body. */
  readonly body?: unknown;
  readonly location?: string;
}

/** Of a document of a hundred thousand queues (20 MB), or of a message in base64. */
export const LARGE_BODY_BYTES_MAX = 64 * 1024 * 1024;

export const DONE: Answer = { status: 204 };
export const CREATED: Answer = { status: 201 };

export function found(body: unknown): Answer {
  return { status: 200, body };
}

/** RabbitMQ's answer to what is not there. */
export const NOT_FOUND: Answer = {
  status: 404,
  body: { error: 'Object Not Found', reason: 'Not Found' },
};

/** A request that is refused: RabbitMQ's status, and its words where it has any. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly answer: Answer;

  constructor(status: number, error: string, reason: string, more: object = {}) {
    super(reason);
    this.answer = { status, body: { error, reason, ...more } };
  }
}

export function badRequest(reason: string): Refusal {
  return new Refusal(400, 'bad_request', reason);
}

export function unauthorized(reason: string): Refusal {
  return new Refusal(401, 'not_authorised', reason);
}

export function notFound(reason: string): Refusal {
  return new Refusal(404, 'not_found', reason);
}

/** RabbitMQ has 400 for all of the client's mistakes that are not one of these. */
const STATUSES: Partial<Record<ErrorCode, readonly [status: number, error: string]>> = {
  'not-found': [404, 'not_found'],
  'access-refused': [401, 'not_authorised'],
  unavailable: [503, 'unavailable'],
  internal: [500, 'internal'],
};

export function refusalOf(error: BrokerError): Refusal {
  const [status, name] = STATUSES[error.code] ?? [400, 'bad_request'];
  return new Refusal(status, name, error.message);
}

/** One request. */
export class Call {
  readonly api: Api;
  readonly asker: Principal;
  readonly peer: Peer;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly #text: string;

  constructor(
    api: Api,
    asker: Principal,
    peer: Peer,
    { params, query, text }: Pick<Call, 'params' | 'query'> & { readonly text: string },
  ) {
    this.api = api;
    this.asker = asker;
    this.peer = peer;
    this.params = params;
    this.query = query;
    this.#text = text;
  }

  param(name: string): string {
    return this.params[name] ?? '';
  }

  /** RabbitMQ's name of the default exchange in paths is `amq.default`. */
  exchange(name: string): string {
    const exchange = this.param(name);
    return exchange === 'amq.default' ? '' : exchange;
  }

  /** The body; none is an empty object. Throws Refusal. */
  json(): JsonObject {
    if (this.#text.trim() === '') return {};
    let json: unknown;
    try {
      json = JSON.parse(this.#text);
    } catch {
      throw badRequest('not_json');
    }
    if (!isObject(json)) throw badRequest('not_json');
    const { headerDepthMax } = this.api.context.limits;
    if (isDeeper(json, headerDepthMax)) throw badRequest(`nested deeper than ${headerDepthMax}`);
    return json;
  }

  /**
   * What `read` makes of the body; throws Refusal with all that is wrong in it. `required` fields
   * must be there.
   */
  read<T>(required: readonly string[], read: (fields: Fields) => T): T {
    const json = this.json();
    const absent = required.filter((name) => json[name] === undefined);
    if (absent.length > 0) {
      throw badRequest(`[${absent.map((name) => `{key_missing,${name}}`).join(',\n ')}]`);
    }
    const problems: string[] = [];
    const value = read(new Fields(json, '', problems));
    if (problems.length > 0) throw badRequest(problems.join('; '));
    return value;
  }

  flag(name: string): boolean {
    return this.query[name] === 'true';
  }

  /** Acts in the vhost that the path names, with the asker's permissions. */
  async inVhost<T>(act: (session: Session) => Eventually<T>): Promise<T> {
    const { engine } = this.api.context;
    const session = await engine.open(this.param('vhost'), this.asker, this.peer);
    try {
      return await act(session);
    } finally {
      await session.close();
    }
  }

  /** Vhosts that the asker is shown things of. */
  visibleVhosts(): readonly string[] {
    const vhosts = this.api.context.engine.admin.vhosts();
    if (may(this.asker, 'monitoring')) return vhosts;
    return vhosts.filter((vhost) => this.asker.permissions.get(vhost) !== undefined);
  }
}

function isDeeper(json: unknown, most: number): boolean {
  if (typeof json !== 'object' || json === null) return false;
  return most === 0 || Object.values(json).some((inner) => isDeeper(inner, most - 1));
}

const TAGS: Readonly<Record<Need, readonly string[]>> = {
  anybody: ['management', 'policymaker', 'monitoring', 'administrator'],
  policymaker: ['policymaker', 'administrator'],
  monitoring: ['monitoring', 'administrator'],
  administrator: ['administrator'],
};

export function may({ tags }: Principal, need: Need): boolean {
  return TAGS[need].some((tag) => tags.includes(tag));
}

const NEEDED: Readonly<Record<Need, string>> = {
  anybody: 'Not management user',
  policymaker: 'Not policymaker user',
  monitoring: 'Not monitor user',
  administrator: 'Not administrator user',
};

/** Of a vhost that the asker has no permission in. */
export const NOT_YOURS = 'User not authorised to access virtual host';

/** Throws Refusal where the asker may not use the route. */
export function requireAccess(call: Call, route: Route): void {
  const { asker, api } = call;
  if (!may(asker, 'anybody')) throw unauthorized(NEEDED.anybody);
  if (!may(asker, route.needs)) throw unauthorized(NEEDED[route.needs]);
  const { vhost } = call.params;
  if (vhost === undefined || route.ofAnyVhost === true) return;
  if (!api.context.engine.admin.vhosts().includes(vhost)) throw notFound('vhost_not_found');
  if (may(asker, 'administrator') || asker.permissions.get(vhost) !== undefined) return;
  throw unauthorized(NOT_YOURS);
}

/** The answer of a route; what was changed by it is safe by then. */
export async function answerOf(call: Call, route: Route): Promise<Answer> {
  try {
    requireAccess(call, route);
    const answer = await route.answer(call);
    const { engine } = call.api.context;
    if (route.method !== 'GET') await new Promise<void>((done) => engine.safe(done));
    return answer;
  } catch (error) {
    if (error instanceof Refusal) return error.answer;
    if (error instanceof BrokerError) return refusalOf(error).answer;
    throw error;
  }
}
