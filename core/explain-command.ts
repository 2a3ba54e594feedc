/** `rosettamq explain ADDRESS`: asks a running gateway over HTTP and prints its answer. */
import { ConfigError, reasonOf } from './errors.ts';
import { type Explanation, explanationText } from './explain.ts';

export interface ExplainArguments {
  /** An address in any protocol's notation, or an exchange and a routing key. */
  readonly words: readonly string[];
  /** Of the gateway's HTTP listener; may name a user and a password. */
  readonly url: string | undefined;
  readonly vhost: string | undefined;
  readonly protocol: string | undefined;
  readonly json: boolean;
}

const DEFAULT_URL = 'http://guest:guest@127.0.0.1:15672';

/** What to print. Throws ConfigError where it cannot be had. */
export async function explainCommand(asked: ExplainArguments): Promise<string> {
  const { url, authorization } = requestOf(asked);
  const { status, text } = await get(url, authorization);
  if (status === 401 || status === 403) {
    throw new ConfigError('', `${url.origin} wants an administrator: --url http://USER:PASSWORD@…`);
  }
  const answer = parsed(text);
  if (status !== 200 || answer.readings === undefined) {
    throw new ConfigError('', `${url.origin} answers ${status}: ${answer.reason ?? 'no gateway'}`);
  }
  if (asked.json) return `${JSON.stringify(answer, null, 2)}\n`;
  if (answer.readings.length === 0) return 'no protocol reads this as an address\n';
  return answer.readings.map(explanationText).join('\n');
}

function requestOf({ words, url: base, vhost, protocol }: ExplainArguments) {
  const [first, second, ...more] = words;
  if (first === undefined || more.length > 0) {
    throw new ConfigError('', 'explain: expected ADDRESS, or EXCHANGE and KEY');
  }
  let url: URL;
  try {
    url = new URL('explain', base ?? DEFAULT_URL);
  } catch {
    throw new ConfigError('--url', `'${base}' is not a URL`);
  }
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = '';
  url.password = '';
  const query = {
    ...(second === undefined ? { address: first } : { exchange: first, key: second }),
    ...(vhost === undefined ? {} : { vhost }),
    ...(protocol === undefined ? {} : { protocol }),
  };
  url.search = new URLSearchParams(query).toString();
  return { url, authorization: `Basic ${Buffer.from(login).toString('base64')}` };
}

async function get(url: URL, authorization: string): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(url, { headers: { authorization } });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new ConfigError('', `no gateway answers at ${url.origin}: ${reasonOf(cause)}`);
  }
}

interface Answer {
  readonly readings?: readonly Explanation[];
  readonly reason?: string;
}

function parsed(text: string): Answer {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return {};
  }
}
