/** Every client library that the interop tests drive, by a name for the test's title. */
import { amqplib } from './amqplib.ts';
import type { Connect, Protocol } from './client.ts';
import { mqttJs4, mqttJs5, mqttJsWeb } from './mqtt-js.ts';
import { stompJsTcp, stompJsWeb } from './stomp-js.ts';
import { stompit } from './stompit.ts';
import { xmppJsTcp, xmppJsWeb } from './xmpp-js.ts';

export interface End {
  readonly name: string;
  readonly protocol: Protocol;
  readonly connect: Connect;
  /** Why it carries nothing but the body; null where it carries properties. */
  readonly bare: string | null;
  /** What the library itself does to header values with odd characters; null where it does nothing. */
  readonly garbles: string | null;
}

const GARBLES: Readonly<Record<string, string>> = {
  '@stomp/stompjs':
    '@stomp/stompjs trims header values, and neither unescapes names nor backslashes',
  '@xmpp/client': '@xmpp/client writes carriage returns bare, which XML 1.0 section 2.11 folds',
};

function end(name: string, protocol: Protocol, connect: Connect): End {
  const library = /\((.+)\)/.exec(name)?.[1] ?? '';
  return { name, protocol, connect, bare: null, garbles: GARBLES[library] ?? null };
}

export const AMQP = end('AMQP (amqplib)', 'amqp', amqplib);
export const MQTT5 = end('MQTT 5 (MQTT.js)', 'mqtt', mqttJs5);
export const STOMP = end('STOMP (@stomp/stompjs)', 'stomp', stompJsTcp);
export const XMPP = end('XMPP (@xmpp/client)', 'xmpp', xmppJsTcp);

/** The other STOMP library, which leaves every header value as it is. */
export const STOMPIT = end('STOMP (stompit)', 'stomp', stompit);

/** One a protocol. */
export const PROTOCOL_ENDS: readonly End[] = [AMQP, MQTT5, STOMP, XMPP];

/** The other libraries, versions and transports. */
export const MORE_ENDS: readonly End[] = [
  {
    ...end('MQTT 3.1.1 (MQTT.js)', 'mqtt', mqttJs4),
    bare: 'an MQTT 3.1.1 message has no properties (section 3.3.2)',
  },
  end('MQTT 5 over WebSocket (MQTT.js)', 'mqtt', mqttJsWeb),
  STOMPIT,
  end('STOMP over WebSocket (@stomp/stompjs)', 'stomp', stompJsWeb),
  end('XMPP over WebSocket (@xmpp/client)', 'xmpp', xmppJsWeb),
];

export const ENDS: readonly End[] = [...PROTOCOL_ENDS, ...MORE_ENDS];

/** Every pair of protocols, and each further library with one of each protocol, both ways. */
export const PAIRS: readonly { readonly from: End; readonly to: End }[] = ENDS.flatMap((from) =>
  ENDS.filter((to) => PROTOCOL_ENDS.includes(from) || PROTOCOL_ENDS.includes(to)).map((to) => ({
    from,
    to,
  })),
);
