/** MQTT.js, as an MQTT 5 and as an MQTT 3.1.1 client. Replies go to a topic of the client's own. */
import mqtt, { type IClientPublishOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import {
  bytesOf,
  type Client,
  type HeaderMap,
  Inbox,
  numberOf,
  type Outgoing,
  option,
  type Place,
  type Received,
  type Target,
  userHeaders,
} from './client.ts';

/** User properties that stand for properties which MQTT has no place for. */
const STANDARD = new Set([
  'message-id',
  'priority',
  'timestamp',
  'type',
  'app-id',
  'user-id',
  'content-encoding',
]);

export const mqttJs5 = (target: Target): Promise<Client> => connect(target, 5, 'mqtt', 'mqtt');
export const mqttJs4 = (target: Target): Promise<Client> => connect(target, 4, 'mqtt', 'mqtt');
export const mqttJsWeb = (target: Target): Promise<Client> => connect(target, 5, 'ws', 'http');

async function connect(
  { port, user, password }: Target,
  protocolVersion: 4 | 5,
  scheme: string,
  listener: string,
): Promise<Client> {
  const client = await mqtt.connectAsync(`${scheme}://127.0.0.1:${port(listener)}/`, {
    protocolVersion,
    username: user,
    password,
    reconnectPeriod: 0,
  });
  return new MqttJsClient(client, protocolVersion === 5);
}

class MqttJsClient implements Client {
  readonly protocol = 'mqtt';
  readonly #client: MqttClient;
  readonly #properties: boolean;
  readonly #inboxes: { readonly filter: string; readonly inbox: Inbox }[] = [];
  #replies: Promise<{ readonly topic: string; readonly inbox: Inbox }> | null = null;

  constructor(client: MqttClient, properties: boolean) {
    this.#client = client;
    this.#properties = properties;
    client.on('message', (topic, payload, packet) => {
      const received = this.#received(payload, packet);
      for (const { filter, inbox } of this.#inboxes) {
        if (matches(filter.split('/'), topic.split('/'))) inbox.push(received);
      }
    });
  }

  async consume(place: Place): Promise<Inbox> {
    return this.#subscribe(topicOf(place));
  }

  async publish(place: Place, message: Outgoing): Promise<void> {
    await this.#publish(topicOf(place), message, {});
  }

  async request(place: Place, message: Outgoing): Promise<Received> {
    this.#replies ??= this.#listen();
    const { topic, inbox } = await this.#replies;
    await this.#publish(topicOf(place), message, { responseTopic: topic });
    const wanted = bytesOf(message.correlationId ?? '');
    return inbox.find((reply) => reply.correlationId?.equals(wanted) === true);
  }

  async close(): Promise<void> {
    await this.#client.endAsync();
  }

  async #listen(): Promise<{ readonly topic: string; readonly inbox: Inbox }> {
    const topic = `replies/${this.#client.options.clientId}`;
    return { topic, inbox: await this.#subscribe(topic) };
  }

  async #subscribe(filter: string): Promise<Inbox> {
    const inbox = new Inbox(`MQTT ${filter}`);
    this.#inboxes.push({ filter, inbox });
    await this.#client.subscribeAsync(filter, { qos: 1 });
    return inbox;
  }

  async #publish(
    topic: string,
    message: Outgoing,
    properties: NonNullable<IClientPublishOptions['properties']>,
  ): Promise<void> {
    const qos = message.persistent === false ? 0 : 1;
    const options: IClientPublishOptions = this.#properties
      ? { qos, properties: { ...propertiesOf(message), ...properties } }
      : { qos };
    await this.#client.publishAsync(topic, message.body, options);
  }

  #received(payload: Buffer, packet: IPublishPacket): Received {
    const { properties } = packet;
    const user: HeaderMap = { ...properties?.userProperties };
    const text = (name: string): string | undefined => {
      const value = user[name];
      return typeof value === 'string' ? value : undefined;
    };
    const seconds = properties?.messageExpiryInterval;
    const replyTo = properties?.responseTopic;
    const correlationData = properties?.correlationData;
    return {
      body: Buffer.from(payload),
      contentType: properties?.contentType,
      correlationId: correlationData,
      replyTo,
      headers: userHeaders(user, STANDARD),
      expiryMs: seconds === undefined ? undefined : seconds * 1000,
      messageId: text('message-id'),
      persistent: packet.qos > 0,
      priority: numberOf(text('priority')),
      contentEncoding: text('content-encoding'),
      timestamp: numberOf(text('timestamp')),
      type: text('type'),
      appId: text('app-id'),
      answer: async (body) => {
        const echoed = correlationData === undefined ? {} : { correlationData };
        await this.#client.publishAsync(replyTo ?? '', body, { qos: 1, properties: echoed });
      },
    };
  }
}

function propertiesOf(message: Outgoing): NonNullable<IClientPublishOptions['properties']> {
  const { contentType, correlationId, expiryMs, messageId, priority } = message;
  const userProperties = {
    ...(message.headers as Record<string, string>),
    ...(messageId === undefined ? {} : { 'message-id': messageId }),
    ...(priority === undefined ? {} : { priority: String(priority) }),
    ...option('content-encoding', message.contentEncoding),
    ...option('timestamp', message.timestamp?.toString()),
    ...option('type', message.type),
    ...option('app-id', message.appId),
  };
  return {
    // MQTT.js writes a malformed packet for user properties that are there but empty.
    ...(Object.keys(userProperties).length === 0 ? {} : { userProperties }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(correlationId === undefined ? {} : { correlationData: bytesOf(correlationId) }),
    ...(expiryMs === undefined ? {} : { messageExpiryInterval: Math.ceil(expiryMs / 1000) }),
  };
}

function topicOf(place: Place): string {
  if (place.kind === 'queue') return `$queue/${place.name}`;
  if (place.kind !== 'person') return place.key.replaceAll('.', '/').replaceAll('*', '+');
  return `$exchange/amq.xmpp/${place.name}@localhost`;
}

/** MQTT's own rule of matching; MQTT.js leaves it to its application. */
function matches(filter: readonly string[], topic: readonly string[]): boolean {
  const [head, ...rest] = filter;
  if (head === '#') return true;
  if (head === undefined) return topic.length === 0;
  const level = topic[0];
  return (head === '+' ? level !== undefined : head === level) && matches(rest, topic.slice(1));
}
