/** Health checks for probes: 200, or 503 and what is wrong. */
import { createHash } from 'node:crypto';
import { Outcome } from '../../../core/engine.ts';
import { Message, SILENT_FORMAT } from '../../../core/message.ts';
import { type Answer, badRequest, type Call, found, type Route } from './route.ts';

const CHECKS = '/health/checks';

export const HEALTH_ROUTES: readonly Route[] = [
  { method: 'GET', path: `${CHECKS}/alarms`, needs: 'anybody', answer: alarms },
  { method: 'GET', path: `${CHECKS}/local-alarms`, needs: 'anybody', answer: alarms },
  {
    method: 'GET',
    path: `${CHECKS}/virtual-hosts`,
    needs: 'anybody',
    // All of them are made before the gateway listens.
    answer: () => found({ status: 'ok' }),
  },
  { method: 'GET', path: `${CHECKS}/port-listener/:port`, needs: 'anybody', answer: portListener },
  {
    method: 'GET',
    path: `${CHECKS}/protocol-listener/:protocol`,
    needs: 'anybody',
    answer: protocolListener,
  },
  { method: 'GET', path: `${CHECKS}/ready-to-serve-clients`, needs: 'anybody', answer: ready },
  {
    method: 'GET',
    path: `${CHECKS}/node-is-quorum-critical`,
    needs: 'anybody',
    answer: () => found({ status: 'ok', reason: 'single node cluster' }),
  },
  {
    method: 'GET',
    path: `${CHECKS}/node-is-mirror-sync-critical`,
    needs: 'anybody',
    answer: () => found({ status: 'ok', reason: 'single node cluster' }),
  },
  { method: 'GET', path: '/aliveness-test/:vhost', needs: 'anybody', answer: aliveness },
];

function failed(reason: string, more: object): Answer {
  return { status: 503, body: { status: 'failed', reason, ...more } };
}

function alarms({ api }: Call): Answer {
  const raised = api.context.engine.admin.alarms();
  if (raised.length === 0) return found({ status: 'ok' });
  return failed('There are alarms in effect in the cluster', { alarms: raised });
}

function ready({ api }: Call): Answer {
  const missing = api.missing();
  if (missing.length === 0) return found({ status: 'ok' });
  return failed('The gateway is not ready', { missing });
}

function portListener(call: Call): Answer {
  const port = Number(call.param('port'));
  if (!Number.isInteger(port)) throw badRequest('port: expected a number');
  const ports = call.api.listening().map((each) => each.port);
  if (ports.includes(port)) return found({ status: 'ok', port });
  return failed('No active listener', { missing: port, ports });
}

function protocolListener(call: Call): Answer {
  const protocol = call.param('protocol').toLowerCase();
  const protocols = [
    ...new Set(
      call.api.listening().map((each) => (each.tls ? `${each.protocol}/ssl` : each.protocol)),
    ),
  ];
  // RabbitMQ has more than one name for some.
  const known = ALIASES[protocol] ?? protocol;
  if (protocols.includes(known)) return found({ status: 'ok', protocol: call.param('protocol') });
  return failed('No active listener', { missing: call.param('protocol'), protocols });
}

const ALIASES: Readonly<Record<string, string>> = {
  amqps: 'amqp/ssl',
  amqp091: 'amqp',
  'amqp0.9.1': 'amqp',
  mqtts: 'mqtt/ssl',
  stomps: 'stomp/ssl',
  https: 'http/ssl',
};

/** A message of its own goes through a queue of its own. */
async function aliveness(call: Call): Promise<Answer> {
  const came = await call.inVhost(async (session) => {
    const queue = await session.temporaryQueue('aliveness-test-');
    const body = createHash('sha256').update(queue).digest();
    const now = call.api.context.clock.now();
    const message = new Message(SILENT_FORMAT, Buffer.alloc(0), body, '', queue, false, 0, 0, now);
    session.publisher({ settled() {}, returned() {}, writable() {} }).publish(message, 0, false);
    const pulled = await session.get(queue, true);
    pulled?.delivery.settle(Outcome.ACCEPT);
    return pulled?.delivery.message.body.equals(body) ?? false;
  });
  return came ? found({ status: 'ok' }) : failed('a message that was sent did not come', {});
}
