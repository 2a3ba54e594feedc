/** `rosettamq explain ADDRESS`: asks a running gateway over HTTP and prints its answer. */
import { ConfigError } from './errors.ts';
import { type Explanation, explanationText } from './explain.ts';
import { askGateway, jsonOf } from './gateway-request.ts';

export interface ExplainArguments {
  /** An address in any protocol's notation, or an exchange and a routing key. */
  readonly words: readonly string[];
  /** Of the gateway's HTTP listener; may name a user and a password. */
  readonly url: string | undefined;
  readonly vhost: string | undefined;
  readonly protocol: string | undefined;
  readonly json: boolean;
}

interface Answer {
  readonly readings: readonly Explanation[];
  readonly reason: string;
}

/** What to print. Throws ConfigError where it cannot be had. */
export async function explainCommand(asked: ExplainArguments): Promise<string> {
  const query = queryOf(asked);
  const got = await askGateway({ url: asked.url, method: 'GET', path: 'explain', query });
  const answer = jsonOf<Answer>(got);
  if (got.status !== 200 || answer.readings === undefined) {
    const reason = answer.reason ?? 'no gateway';
    throw new ConfigError('', `${got.origin} answers ${got.status}: ${reason}`);
  }
  if (asked.json) return `${JSON.stringify(answer, null, 2)}\n`;
  if (answer.readings.length === 0) return 'no protocol reads this as an address\n';
  return answer.readings.map(explanationText).join('\n');
}

function queryOf({ words, vhost, protocol }: ExplainArguments) {
  const [first, second, ...more] = words;
  if (first === undefined || more.length > 0) {
    throw new ConfigError('', 'explain: expected ADDRESS, or EXCHANGE and KEY');
  }
  return {
    ...(second === undefined ? { address: first } : { exchange: first, key: second }),
    ...(vhost === undefined ? {} : { vhost }),
    ...(protocol === undefined ? {} : { protocol }),
  };
}
