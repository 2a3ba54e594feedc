/** Publishing and pulling single messages, for operators who look into something. */
import { isUtf8 } from 'node:buffer';
import { REPLY_PREFIX } from '../../../core/address.ts';
import { type JsonObject, tableJson, tableOf } from '../../../core/definitions.ts';
import type { Fields } from '../../../core/definitions-document.ts';
import { Fate, Outcome, type Pulled, type Session } from '../../../core/engine.ts';
import { toText } from '../../../core/envelope.ts';
import { BrokerError } from '../../../core/errors.ts';
import { type Format, Message, type Properties } from '../../../core/message.ts';
import { type Answer, badRequest, type Call, found, notFound } from './route.ts';

/** In one answer. */
const PULLED_MAX = 10_000;
const NOTHING = Buffer.alloc(0);

interface Asked {
  readonly routingKey: string;
  readonly properties: JsonObject;
  readonly fields: Fields;
  readonly body: Buffer;
}

export async function publish(call: Call): Promise<Answer> {
  const asked = call.read(
    ['routing_key', 'properties', 'payload', 'payload_encoding'],
    (fields): Asked => ({
      routingKey: fields.text('routing_key'),
      properties: fields.json('properties'),
      fields: fields.object('properties'),
      body: bodyOf(fields),
    }),
  );
  const { limits } = call.api.context;
  if (asked.body.length > limits.messageBytesMax) {
    throw badRequest(`message size ${asked.body.length} is larger than ${limits.messageBytesMax}`);
  }
  const user = asked.fields.optionalText('user_id') ?? call.asker.name;
  if (user !== call.asker.name && !call.asker.tags.includes('impersonator')) {
    const claim = `user_id property set to '${user}' but authenticated user was`;
    throw badRequest(`406 PRECONDITION_FAILED - ${claim} '${call.asker.name}'`);
  }
  const message = messageOf(call, asked);
  try {
    return found({ routed: await call.inVhost((session) => settled(session, message)) });
  } catch (error) {
    // A missing exchange is the message's mistake here, not the path's.
    if (!(error instanceof BrokerError) || error.code !== 'not-found') throw error;
    throw badRequest(`404 NOT_FOUND - ${error.message}`);
  }
}

/** Whether a queue took it. */
function settled(session: Session, message: Message): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const publisher = session.publisher({
      settled: (_tag, fate) => {
        if (fate === Fate.CONFIRMED) resolve(true);
        else if (fate === Fate.UNROUTABLE) resolve(false);
        else reject(badRequest('rejected Unable to publish message. Check queue limits.'));
      },
      returned: () => {},
      writable: () => {},
    });
    publisher.publish(message, 1, true);
  });
}

function bodyOf(fields: Fields): Buffer {
  const encoding = fields.text('payload_encoding');
  if (encoding !== 'string' && encoding !== 'base64') {
    fields.wrong('payload_encoding', "expected 'string' or 'base64'");
    return NOTHING;
  }
  return Buffer.from(fields.text('payload'), encoding === 'string' ? 'utf8' : 'base64');
}

/** As an AMQP client would have written it. */
function messageOf(call: Call, { routingKey, properties, fields, body }: Asked): Message {
  const { formats, clock } = call.api.context;
  const format = formats.find('amqp091');
  if (format === undefined) throw new BrokerError('not-implemented', 'no AMQP here');
  const now = clock.now();
  const headers = [...tableOf(fields.json('headers'))];
  const neutral: Properties = { ...textsOf(fields), headers };
  const { timestamp, delivery_mode, priority, expiration } = properties;
  if (typeof timestamp === 'number') neutral.timestamp = timestamp;
  const copies = headers.flatMap(([name, value]) =>
    name === 'CC' && Array.isArray(value) ? value.map(String) : [],
  );
  const made = (by: Format, native: Buffer): Message =>
    new Message(
      by,
      native,
      body,
      call.exchange('name'),
      routingKey,
      delivery_mode === 2,
      typeof priority === 'number' ? Math.min(255, Math.max(0, Math.trunc(priority))) : 0,
      expiration === undefined ? 0 : now + lifeOf(String(expiration)),
      now,
      false,
      copies.length === 0 ? null : copies,
    );
  const draft: Format = { name: 'draft', read: () => neutral, write: () => NOTHING };
  return made(format, format.write(made(draft, NOTHING), now));
}

function lifeOf(expiration: string): number {
  if (/^\d{1,15}$/.test(expiration)) return Number(expiration);
  throw badRequest(`properties.expiration: '${expiration}' is no number of milliseconds`);
}

function textsOf(fields: Fields): Omit<Properties, 'headers'> {
  const replyTo = fields.optionalText('reply_to');
  return {
    contentType: fields.optionalText('content_type'),
    contentEncoding: fields.optionalText('content_encoding'),
    correlationId: fields.optionalText('correlation_id'),
    replyTo: replyTo === undefined ? undefined : { exchange: '', routingKey: replyTo },
    messageId: fields.optionalText('message_id'),
    type: fields.optionalText('type'),
    userId: fields.optionalText('user_id'),
    appId: fields.optionalText('app_id'),
  };
}

const ACK_MODES: Readonly<Record<string, Outcome>> = {
  ack_requeue_true: Outcome.REQUEUE,
  reject_requeue_true: Outcome.REQUEUE,
  ack_requeue_false: Outcome.ACCEPT,
  reject_requeue_false: Outcome.REJECT,
};

export async function pull(call: Call): Promise<Answer> {
  const asked = call.read(['count', 'ackmode', 'encoding'], (fields) => ({
    count: Number(fields.raw('count')),
    outcome: ACK_MODES[fields.text('ackmode')],
    encoding: fields.text('encoding'),
    truncate: fields.has('truncate') ? Number(fields.raw('truncate')) : null,
  }));
  const { count, outcome, encoding, truncate } = asked;
  if (outcome === undefined) throw badRequest(`ackmode: one of ${Object.keys(ACK_MODES).join()}`);
  if (encoding !== 'auto' && encoding !== 'base64') {
    throw badRequest('Unsupported encoding. Please use auto or base64.');
  }
  if (!Number.isSafeInteger(count) || count < 0) throw badRequest('count: expected a number');
  const queue = call.param('name');
  const { admin } = call.api.context.engine;
  if (![...admin.queues(call.param('vhost'))].some(({ name }) => name === queue)) {
    throw notFound(`NOT_FOUND - no queue '${queue}' in vhost '${call.param('vhost')}'`);
  }
  const most = call.api.context.limits.messageBytesMax;
  return found(
    await call.inVhost(async (session) => {
      const pulled: Pulled[] = [];
      let bytes = 0;
      while (pulled.length < Math.min(count, PULLED_MAX) && bytes < most) {
        const next = await session.get(queue, true);
        if (next === null) break;
        pulled.push(next);
        bytes += next.delivery.message.body.length;
      }
      // Only now: what is given back at once would come again.
      session.together(() => {
        for (const { delivery } of pulled) delivery.settle(outcome);
      });
      return pulled.map((each) => pulledJson(each, encoding === 'base64', truncate));
    }),
  );
}

function pulledJson({ delivery, remaining }: Pulled, base64: boolean, truncate: number | null) {
  const { message, attempts } = delivery;
  const { body } = message;
  const shown = truncate === null ? body : body.subarray(0, truncate);
  const text = !base64 && isUtf8(shown);
  return {
    payload_bytes: body.length,
    redelivered: attempts > 0,
    exchange: message.exchange,
    routing_key: message.routingKey,
    message_count: remaining,
    properties: propertiesJson(message),
    payload: shown.toString(text ? 'utf8' : 'base64'),
    payload_encoding: text ? 'string' : 'base64',
  };
}

/** By AMQP's names, those that it has. */
function propertiesJson(message: Message): JsonObject {
  const { properties, priority, durable, expiresAt, receivedAt } = message;
  const { correlationId, replyTo } = properties;
  const values = {
    content_type: properties.contentType,
    content_encoding: properties.contentEncoding,
    correlation_id: correlationId === undefined ? undefined : toText(correlationId),
    reply_to: replyTo === undefined ? undefined : replyText(replyTo),
    message_id: properties.messageId,
    timestamp: properties.timestamp,
    type: properties.type,
    user_id: properties.userId,
    app_id: properties.appId,
    priority: priority === 0 ? undefined : priority,
    expiration: expiresAt === 0 ? undefined : String(expiresAt - receivedAt),
    delivery_mode: durable ? 2 : 1,
  };
  const headers = tableJson(new Map(properties.headers));
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  if (properties.headers.length > 0) given.push(['headers', headers as never]);
  return Object.fromEntries(given) as JsonObject;
}

function replyText({ exchange, routingKey }: { exchange: string; routingKey: string }): string {
  return exchange === '' ? routingKey : `${REPLY_PREFIX}${exchange}/${routingKey}`;
}
