/** What commands ask a running gateway over HTTP. */
import { ConfigError, reasonOf } from './errors.ts';

const DEFAULT_URL = 'http://guest:guest@127.0.0.1:15672';

export interface GatewayRequest {
  /** Of the gateway's HTTP listener; may name a user and a password. */
  readonly url: string | undefined;
  readonly method: 'GET' | 'POST';
  /** Relative to the URL. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface GatewayAnswer {
  readonly status: number;
  readonly text: string;
  /** The gateway, without user and password. */
  readonly origin: string;
}

/** Throws ConfigError where there is no gateway, or it wants an administrator. */
export async function askGateway(request: GatewayRequest): Promise<GatewayAnswer> {
  const { url, authorization } = addressOf(request);
  const { method, body = null } = request;
  const headers = { authorization, 'content-type': 'application/json' };
  let answer: { status: number; text: string };
  try {
    const response = await fetch(url, { method, headers, body });
    answer = { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new ConfigError('', `no gateway answers at ${url.origin}: ${reasonOf(cause)}`);
  }
  if (answer.status === 401 || answer.status === 403) {
    throw new ConfigError('', `${url.origin} wants an administrator: --url http://USER:PASSWORD@…`);
  }
  return { ...answer, origin: url.origin };
}

/** An answer's JSON; an empty object where it is none. */
export function jsonOf<T extends object>({ text }: GatewayAnswer): Partial<T> {
  try {
    return JSON.parse(text) as T;
  } catch {
    return {};
  }
}

function addressOf({ url: base, path, query = {} }: GatewayRequest) {
  let url: URL;
  try {
    url = new URL(path, base ?? DEFAULT_URL);
  } catch {
    throw new ConfigError('--url', `'${base}' is not a URL`);
  }
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = '';
  url.password = '';
  url.search = new URLSearchParams(query).toString();
  return { url, authorization: `Basic ${Buffer.from(login).toString('base64')}` };
}
