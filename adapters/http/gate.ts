/**
 * The HTTP side of a gateway: health, metrics and an index; WebSocket upgrades come in on the same
 * server, but are the network's. The server does not listen: `Network.listenHttp` hands it its
 * sockets, so that connection limits, TLS and closing are those of every other protocol.
 */
import type { Server } from 'node:http';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Principal } from '../../core/auth.ts';
import type { AddressForm } from '../../core/explain.ts';
import type { Listening } from '../../core/welcome.ts';
import type { Context } from '../adapter.ts';
import { ROUTES } from './api/api.ts';
import { type Answer, type Api, answerOf, Call, NOT_FOUND } from './api/route.ts';
import { answerExplain } from './explain.ts';
import { CHALLENGE, peerOf, principalOf, type Sender } from './login.ts';
import { Metrics } from './metrics.ts';

/** Requests have small bodies or none. */
const BODY_BYTES_MAX = 1024 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
/** From the first byte of a request to the end of its headers. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Between two requests; longer than the idle time-out of common proxies. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

export interface HttpGateOptions {
  /**
   * What the gateway still waits for before it is of use, as `listeners`; none when it is ready.
   */
  readonly missing: () => readonly string[];
  /** How the protocols write addresses. */
  readonly addresses?: readonly AddressForm[];
  /** What listens. */
  readonly listening?: () => readonly Listening[];
}

export interface HttpGate {
  /** For `Network.listenHttp` and `Network.upgrade`. */
  readonly server: Server;
  /** Answers what was asked, refuses what comes, and closes connections that are idle. */
  stop(): Promise<void>;
}

export async function createHttpGate(
  context: Context,
  { missing, addresses = [], listening = () => [] }: HttpGateOptions,
): Promise<HttpGate> {
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS },
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true },
    return503OnClosing: true,
  });
  addRoutes(app, context, missing);
  addExplainRoute(app, context, addresses);
  addApi(app, { context, missing, listening });
  await app.ready();
  // Node arms the checks of headersTimeout and requestTimeout when a server begins to listen; this
  // one gets its sockets by hand.
  app.server.emit('listening');
  return { server: app.server, stop: () => app.close() };
}

function addRoutes(app: FastifyInstance, context: Context, missing: () => readonly string[]): void {
  const metrics = new Metrics(context);
  const { name, version } = context.product;
  app.get('/', (_request, reply) => {
    reply.type('text/plain; charset=utf-8').send(indexOf(name, version));
  });
  app.get('/health', (_request, reply) => {
    const waitingFor = missing();
    reply.header('cache-control', 'no-store');
    if (waitingFor.length === 0) reply.send({ status: 'ok' });
    else reply.code(503).send({ status: 'unavailable', missing: waitingFor });
  });
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.text();
    return reply.header('cache-control', 'no-store').type(metrics.contentType).send(text);
  });
  app.setNotFoundHandler((request, reply) => {
    const reason = `nothing answers to ${request.method} ${request.url}`;
    reply.code(404).send({ error: 'not-found', reason });
  });
  app.setErrorHandler((error, _request, reply) => {
    const status = statusOf(error);
    if (status < 500) {
      reply.code(status).send({ error: 'bad-request', reason: reasonIn(error) });
      return;
    }
    context.log.error({ reason: reasonIn(error), error }, 'internal error in an HTTP request');
    reply.code(status).send({ error: 'internal', reason: 'internal error' });
  });
}

function addExplainRoute(
  app: FastifyInstance,
  context: Context,
  addresses: readonly AddressForm[],
): void {
  app.get('/explain', async (request, reply) => {
    const query = request.query as Readonly<Record<string, unknown>>;
    const asked = { ...senderOf(request), query };
    const { status, body } = await answerExplain(context, addresses, asked);
    if (status === 401) reply.header('www-authenticate', CHALLENGE);
    return reply.code(status).header('cache-control', 'no-store').send(body);
  });
}

/** The web server's end of the API: logins come before bodies are read. */
function addApi(app: FastifyInstance, api: Api): void {
  const askers = new WeakMap<FastifyRequest, Principal>();
  void app.register(
    async (scope) => {
      // Clients name all kinds of content where there is JSON, or none.
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
        done(null, body);
      });
      scope.addHook('onRequest', async (request, reply) => {
        if (isForeign(request)) {
          const reason = 'a page of another site asks';
          return reply.code(403).send({ error: 'not_authorised', reason });
        }
        const asker = await principalOf(api.context, senderOf(request));
        if (asker !== null) {
          askers.set(request, asker);
          return;
        }
        const reason = request.headers.authorization === undefined ? undefined : 'Login failed';
        reply.header('www-authenticate', CHALLENGE).code(401);
        return reply.send(reason === undefined ? '' : { error: 'not_authorized', reason });
      });
      for (const route of ROUTES) {
        const bodyLimit = route.bodyBytesMax ?? BODY_BYTES_MAX;
        const { method, path: url } = route;
        scope.route({
          ...{ method, url, bodyLimit },
          handler: async (request, reply) => {
            const asker = askers.get(request);
            if (asker === undefined) throw new Error('a request has passed its login');
            const call = new Call(api, asker, peerOf(senderOf(request)), {
              params: request.params as Call['params'],
              query: request.query as Call['query'],
              text: typeof request.body === 'string' ? request.body : '',
            });
            return send(reply, await answerOf(call, route));
          },
        });
      }
      scope.setNotFoundHandler((_request, reply) => {
        void send(reply, NOT_FOUND);
      });
    },
    { prefix: '/api' },
  );
}

/** A browser sends its user's login along with what a page of any other site has it ask. */
function isForeign({ headers: { origin, host } }: FastifyRequest): boolean {
  return origin !== undefined && origin.replace(/^https?:\/\//, '') !== host;
}

function send(reply: FastifyReply, { status, body, location }: Answer): FastifyReply {
  reply.code(status).header('cache-control', 'no-cache');
  if (location !== undefined) reply.header('location', location);
  return reply.send(body);
}

function senderOf({ headers, socket, protocol }: FastifyRequest): Sender {
  const { remoteAddress = '', remotePort = 0 } = socket;
  const { authorization } = headers;
  return { authorization, remoteAddress, remotePort, tls: protocol === 'https' };
}

function statusOf(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return 500;
  return typeof error.statusCode === 'number' ? error.statusCode : 500;
}

function reasonIn(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function indexOf(name: string, version: string): string {
  return [
    `${name} ${version}`,
    '',
    'GET /health   200 once the gateway is ready, else 503 and what is missing',
    'GET /metrics  counters for Prometheus',
    'GET /explain  where ?address=… leads, for administrators',
    '/api          management as with RabbitMQ: /api/overview, /api/queues, /api/definitions, …',
    '',
    'WebSocket clients connect here on any path; the subprotocol says what they speak:',
    'mqtt, v12.stomp, v11.stomp, v10.stomp, xmpp or amqp.',
    '',
  ].join('\n');
}
