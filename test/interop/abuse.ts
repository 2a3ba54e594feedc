/** What a port may be sent that is not its protocol, and how the protocol itself says so. */

export interface Abuse {
  readonly port: 'amqp' | 'mqtt' | 'stomp' | 'xmpp' | 'http';
  readonly what: string;
  readonly bytes: Buffer | string;
  /** What comes back before the connection is closed, as Latin-1. */
  readonly answer: RegExp;
}

const AMQP_HEADER = 'AMQP\x00\x00\x09\x01';
const STREAM =
  "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const NOISE = Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 151 + 13) & 0xff));

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A CONNECT of MQTT 5 as user0, then `rest`. */
const mqtt5 = (rest: string): Buffer =>
  hex(`101c 00044d515454 05 c2 003c 00 0000 00057573657230 0006736563726574 ${rest}`);

/** The header, a frame, and the answer that a client owes to connection.close. */
const amqpFrame = (frame: string): Buffer =>
  latin(`${AMQP_HEADER}${frame}\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\xce`);

/** connection.close with a hard error (AMQP 0-9-1 section 1.2): 501 to 505, or 540. */
const AMQP_CLOSE = /\x00\x0a\x00\x32(\x01[\xf5-\xf9]|\x02\x1c)/;

const AMQP: readonly Abuse[] = [
  ['noise', NOISE, /^AMQP\0\0\x09\x01$/],
  ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^AMQP\0\0\x09\x01$/],
  ['AMQP 1.0', latin('AMQP\x00\x01\x00\x00'), /^AMQP\0\0\x09\x01$/],
  ['AMQP 0-8', latin('AMQP\x01\x01\x08\x00'), /^AMQP\0\0\x09\x01$/],
  ['a frame of 2 GB', amqpFrame('\x01\x00\x00\x7f\xff\xff\xff'), AMQP_CLOSE],
  ['an unknown frame type', amqpFrame('\x2a\x00\x00\x00\x00\x00\x04abcd\xce'), AMQP_CLOSE],
  ['an unknown method', amqpFrame('\x01\x00\x00\x00\x00\x00\x04\x00\x63\x00\x63\xce'), AMQP_CLOSE],
  [
    'a frame without its end',
    amqpFrame('\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0b\x00'),
    AMQP_CLOSE,
  ],
].map(([what, bytes, answer]) => ({ port: 'amqp', what, bytes, answer }) as Abuse);

const MQTT: readonly Abuse[] = [
  ['noise', NOISE, /^$/],
  ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^$/],
  ['a PUBLISH before CONNECT', hex('3005 0003 612f62'), /^$/],
  ['a remaining length of five bytes', hex('10ffffffffff01'), /^$/],
  ['a CONNECT of 256 MB', hex('10ffffff7f 00044d515454 05'), /^$/],
  [
    'protocol level 9',
    hex('100d 00044d515454 09 02 003c 0001 61'),
    /^ \x02\0\x01$|^ \x03\0\x84\0$/,
  ],
  ['an unknown packet type', mqtt5('0000'), /^ .+\xe0.?[\x81\x82]/s],
  ['a SUBSCRIBE without its flags', mqtt5('8007 0001 00 0001 61 00'), /^ .+\xe0.?[\x81\x82]/s],
  ['a topic that is not UTF-8', mqtt5('3005 0002 ffff 00'), /^ .+\xe0.?[\x81\x82\x90]/s],
].map(([what, bytes, answer]) => ({ port: 'mqtt', what, bytes, answer }) as Abuse);

const STOMP: readonly Abuse[] = [
  ['noise that ends', Buffer.concat([NOISE, Buffer.from('\n\n\0')]), /^ERROR\n/],
  ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n\0', /^ERROR\n/],
  ['an unknown command', 'FETCH\n\n\0', /^ERROR\n/],
  ['a SEND before CONNECT', 'SEND\ndestination:/queue/a\n\nx\0', /^ERROR\n/],
  ['version 9.9', 'CONNECT\naccept-version:9.9\nhost:/\n\n\0', /^ERROR\n(.*\n)*version:.*1\.2/],
  ['a header without a colon', 'CONNECT\naccept-version\n\n\0', /^ERROR\n/],
  ['a body of 100 GB', 'CONNECT\naccept-version:1.2\ncontent-length:99999999999\n\n', /^ERROR\n/],
  ['an endless header line', `CONNECT\nx:${'y'.repeat(100_000)}`, /^ERROR\n/],
].map(([what, bytes, answer]) => ({ port: 'stomp', what, bytes, answer }) as Abuse);

const XMPP: readonly Abuse[] = [
  ['noise', NOISE, /<not-well-formed |<unsupported-encoding |<bad-format |<invalid-xml /],
  ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /<(not-well-formed|bad-format|invalid-xml) /],
  ['a document type', `<?xml version='1.0'?><!DOCTYPE a []>`, /<restricted-xml /],
  [
    'another name space',
    "<stream:stream xmlns:stream='urn:x' xmlns='jabber:client' to='localhost'>",
    /<(invalid-namespace|bad-namespace-prefix) /,
  ],
  [
    'a host that it does not serve',
    STREAM.replace('localhost', 'elsewhere.example'),
    /<host-unknown /,
  ],
  ['an undefined entity', `${STREAM}<auth>&lol;</auth>`, /<(restricted-xml|not-well-formed) /],
  ['a comment', `${STREAM}<!-- hello -->`, /<restricted-xml /],
  ['crossed tags', `${STREAM}<a><b></a></b>`, /<not-well-formed /],
  ['a message before login', `${STREAM}<message to='a@localhost'/>`, /<not-authorized /],
  ['an endless stanza', `${STREAM}<auth>${'x'.repeat(200_000)}`, /<policy-violation /],
].map(([what, bytes, answer]) => ({ port: 'xmpp', what, bytes, answer }) as Abuse);

const HTTP: readonly Abuse[] = [
  ['noise', NOISE, /^HTTP\/1\.1 400 /],
  ['an unknown method', 'FETCH / HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 400 /],
  ['endless headers', `GET / HTTP/1.1\r\nx: ${'y'.repeat(200_000)}`, /^HTTP\/1\.1 431 /],
].map(([what, bytes, answer]) => ({ port: 'http', what, bytes, answer }) as Abuse);

export const ABUSES: readonly Abuse[] = [...AMQP, ...MQTT, ...STOMP, ...XMPP, ...HTTP];

/** What is sent as a beginning that nothing follows. */
export const BEGINNINGS: readonly {
  readonly port: Abuse['port'];
  readonly bytes: Buffer | string;
}[] = [
  { port: 'amqp', bytes: '' },
  { port: 'amqp', bytes: 'AMQ' },
  { port: 'amqp', bytes: latin(AMQP_HEADER) },
  { port: 'amqp', bytes: latin(`${AMQP_HEADER}\x01\x00\x00\x00\x00\x01\x00half`) },
  { port: 'mqtt', bytes: '' },
  { port: 'mqtt', bytes: hex('101b 0004 4d51') },
  { port: 'stomp', bytes: '' },
  { port: 'stomp', bytes: 'CONNECT\naccept-ver' },
  { port: 'stomp', bytes: '\n\n\n' },
  { port: 'xmpp', bytes: '' },
  { port: 'xmpp', bytes: STREAM },
  { port: 'xmpp', bytes: `${STREAM}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mech` },
];

/** WebSocket subprotocols, and what each says to noise. */
export const WEB_ABUSES: readonly { readonly subprotocol: string; readonly answer: RegExp }[] = [
  { subprotocol: 'amqp', answer: /^AMQP\0\0\x09\x01/ },
  { subprotocol: 'mqtt', answer: /^$/ },
  { subprotocol: 'v12.stomp', answer: /^ERROR\n/ },
  {
    subprotocol: 'xmpp',
    answer: /<(not-well-formed|bad-format|invalid-xml|unsupported-encoding) /,
  },
];

export { NOISE };
