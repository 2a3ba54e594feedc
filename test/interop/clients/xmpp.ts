/** What XMPP applications write and read themselves: the elements of a message that carry properties. */
import {
  bytesOf,
  numberOf,
  type Outgoing,
  option,
  type Place,
  type Received,
  userHeaders,
} from './client.ts';
import { type XmppElement, xml } from './xmpp-library.ts';

export const NS = {
  SHIM: 'http://jabber.org/protocol/shim',
  PAYLOAD: 'urn:rosettamq:payload',
  PUBSUB: 'http://jabber.org/protocol/pubsub',
  EVENT: 'http://jabber.org/protocol/pubsub#event',
  CLIENT: 'jabber:client',
  HINTS: 'urn:xmpp:hints',
} as const;

/** SHIM headers that stand for properties. */
const STANDARD = new Set([
  'Content-Type',
  'Content-Encoding',
  'Correlation-ID',
  'Reply-To',
  'Message-ID',
  'Timestamp',
  'Priority',
  'Expiration',
  'Type',
  'App-ID',
  'User-ID',
  'Retain',
]);

/** Where a message goes that is published there, and where presence goes to consume from there. */
export function jidOf(place: Place): string {
  if (place.kind === 'queue') return `${place.name}@queues.localhost`;
  if (place.kind !== 'person') return `amq.topic%${place.key}@exchanges.localhost`;
  return `${place.name}@localhost`;
}

/** What stands inside `<message>`. */
export function contentOf(message: Outgoing): XmppElement[] {
  const { correlationId } = message;
  const content = bodyOf(message);
  if (typeof correlationId === 'string') content.push(xml('thread', {}, correlationId));
  const headers = shimHeaders(message);
  if (headers.length > 0) content.push(xml('headers', { xmlns: NS.SHIM }, ...headers));
  return content;
}

export function readMessage(
  stanza: XmppElement,
  from: string,
  answer: (body: XmppElement[]) => Promise<void>,
): Received {
  const shim = stanza.getChild('headers', NS.SHIM)?.getChildren('header') ?? [];
  const texts = new Map(shim.map((header) => [header.attrs['name'] ?? '', header.text()]));
  const thread = stanza.getChildText('thread') ?? texts.get('Correlation-ID');
  const bytes = shim.find(
    ({ attrs }) => attrs['name'] === 'Correlation-ID' && attrs['encoding'] === 'base64',
  );
  const payload = stanza.getChild('payload', NS.PAYLOAD);
  const correlationId = bytes === undefined ? thread : Buffer.from(bytes.text(), 'base64');
  return {
    body:
      payload === undefined
        ? Buffer.from(stanza.getChildText('body') ?? '')
        : Buffer.from(payload.text(), 'base64'),
    contentType: texts.get('Content-Type') ?? payload?.attrs['content-type'],
    correlationId: correlationId === undefined ? undefined : bytesOf(correlationId),
    replyTo: from,
    headers: userHeaders(Object.fromEntries(texts), STANDARD),
    expiryMs: numberOf(texts.get('Expiration')),
    messageId: stanza.attrs['id'],
    persistent: isKept(stanza),
    priority: numberOf(texts.get('Priority')),
    contentEncoding: texts.get('Content-Encoding'),
    timestamp: numberOf(texts.get('Timestamp')),
    type: texts.get('Type'),
    appId: texts.get('App-ID'),
    answer: (body) => answer(contentOf({ body, correlationId })),
  };
}

/** XEP-0334: what is not to be stored; RFC 6121 8.5.2: a headline never is. */
function isKept(stanza: XmppElement): boolean {
  const hints = ['no-store', 'no-permanent-store'];
  return (
    stanza.attrs['type'] !== 'headline' &&
    !hints.some((name) => stanza.getChild(name, NS.HINTS) !== undefined)
  );
}

function bodyOf({ body, contentType }: Outgoing): XmppElement[] {
  if (typeof body === 'string') return [xml('body', {}, body)];
  const attributes = { xmlns: NS.PAYLOAD, encoding: 'base64', 'content-type': contentType };
  return [
    xml('body', {}, `${body.length} bytes`),
    xml('payload', attributes, body.toString('base64')),
  ];
}

function shimHeaders(message: Outgoing): XmppElement[] {
  const { contentType, correlationId, expiryMs, priority } = message;
  const texts = {
    ...(message.headers as Record<string, string>),
    ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
    ...(priority === undefined ? {} : { Priority: String(priority) }),
    ...(expiryMs === undefined ? {} : { Expiration: String(expiryMs) }),
    ...option('Content-Encoding', message.contentEncoding),
    ...option('Timestamp', message.timestamp?.toString()),
    ...option('Type', message.type),
    ...option('App-ID', message.appId),
  };
  const headers = Object.entries(texts).map(([name, text]) => xml('header', { name }, text));
  if (Buffer.isBuffer(correlationId)) {
    const attributes = { name: 'Correlation-ID', encoding: 'base64', kind: 'bytes' };
    headers.push(xml('header', attributes, correlationId.toString('base64')));
  }
  return headers;
}
