/**
 * `GET /explain?address=…`: how an address is written on each protocol, what it is bound to, and
 * where a message sent there would go now. Topology is the administrators' business: HTTP basic
 * authentication (RFC 7617) against the gateway's accounts.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Peer } from '../../core/engine.ts';
import { type AddressForm, explain, type Question } from '../../core/explain.ts';
import type { Context } from '../adapter.ts';

/** Adds the route. */
export function addExplainRoute(
  app: FastifyInstance,
  context: Context,
  forms: readonly AddressForm[],
): void {
  app.get('/explain', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const asker = await administrator(context, request);
    if (asker === 'unknown') {
      reply.header('www-authenticate', 'Basic realm="Rosetta MQ", charset="UTF-8"');
      return refuse(reply, 401, 'not_authorised', 'an administrator must log in');
    }
    if (asker === 'refused') {
      return refuse(reply, 403, 'access-refused', 'only administrators may ask');
    }
    const question = questionOf(request.query as Readonly<Record<string, unknown>>, forms);
    if (typeof question === 'string') return refuse(reply, 400, 'bad-request', question);
    const readings = explain(question, forms, context.engine);
    if (readings === null) {
      return refuse(reply, 404, 'not-found', `no vhost '${question.vhost}'`);
    }
    return reply.send({ vhost: question.vhost, readings });
  });
}

function refuse(reply: FastifyReply, status: number, error: string, reason: string): FastifyReply {
  return reply.code(status).send({ error, reason });
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

/** `unknown`: nobody logged in; `refused`: somebody who may not. */
async function administrator(
  context: Context,
  request: FastifyRequest,
): Promise<'administrator' | 'unknown' | 'refused'> {
  const [scheme = '', encoded = ''] = (request.headers.authorization ?? '').split(' ');
  const login = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = login.indexOf(':');
  if (scheme.toLowerCase() !== 'basic' || colon < 0) return 'unknown';
  const [user, password] = [login.slice(0, colon), login.slice(colon + 1)];
  const credentials = { kind: 'password', user, password } as const;
  const found = await context.authenticator.authenticate(credentials, peerOf(request));
  if (typeof found !== 'string') {
    return found.tags.includes('administrator') ? 'administrator' : 'refused';
  }
  context.log.info({ user, protocol: 'http' }, 'login refused');
  context.meter.protocol('http').loginsRefused++;
  return 'unknown';
}

function peerOf(request: FastifyRequest): Peer {
  const { remoteAddress = '', remotePort = 0 } = request.socket;
  const host = remoteAddress.replace(/^::ffff:/i, '');
  return {
    address: `${host}:${remotePort}`,
    loopback: host === '::1' || host.startsWith('127.'),
    tls: request.protocol === 'https',
    listener: 'http',
    protocol: 'http',
  };
}
