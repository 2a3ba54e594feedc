/**
 * `GET /explain?address=…`: how an address is written on each protocol, what it is bound to, and
 * where a message sent there would go now. Topology is the administrators' business: HTTP basic
 * authentication (RFC 7617) against the gateway's accounts.
 */
import { type AddressForm, explain, type Question } from '../../core/explain.ts';
import type { Context } from '../adapter.ts';
import { principalOf, type Sender } from './login.ts';

export interface ExplainRequest extends Sender {
  readonly query: Readonly<Record<string, unknown>>;
}

export interface ExplainAnswer {
  readonly status: number;
  /** To be sent as JSON. */
  readonly body: object;
}

/** What is answered to a request, which anybody may have sent. */
export async function answerExplain(
  context: Context,
  forms: readonly AddressForm[],
  request: ExplainRequest,
): Promise<ExplainAnswer> {
  const asker = await principalOf(context, request);
  if (asker === null) return refused(401, 'not-authorized', 'an administrator must log in');
  if (!asker.tags.includes('administrator')) {
    return refused(403, 'access-refused', 'only administrators may ask');
  }
  const question = questionOf(request.query, forms);
  if (typeof question === 'string') return refused(400, 'bad-request', question);
  const { vhost } = question;
  const readings = explain(question, forms, context.engine);
  if (readings === null) return refused(404, 'not-found', `no vhost '${vhost}'`);
  return { status: 200, body: { vhost, readings } };
}

function refused(status: number, error: string, reason: string): ExplainAnswer {
  return { status, body: { error, reason } };
}

/** `address` in any notation, or `exchange` and `key`; a text says what is wrong. */
function questionOf(
  query: Readonly<Record<string, unknown>>,
  forms: readonly AddressForm[],
): Question | string {
  const { address, exchange, key = '', protocol = null, vhost = '/' } = query;
  if (typeof vhost !== 'string' || typeof key !== 'string') return 'each parameter once';
  if (protocol !== null && !forms.some((form) => form.protocol === protocol)) {
    return `protocol: expected one of ${forms.map((form) => form.protocol).join(', ')}`;
  }
  const read = typeof protocol === 'string' ? protocol : null;
  if (typeof address === 'string') return { vhost, address, protocol: read };
  if (typeof exchange !== 'string') return 'expected address, or exchange and key';
  return { vhost, address: { exchange, routingKey: key }, protocol: null };
}
