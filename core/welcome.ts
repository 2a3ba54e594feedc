/** What a newcomer reads after the start: where things listen, and how to see a message cross. */
import type { Config } from './config.ts';

/** One open listener, as a person would write it. */
export interface Listening {
  readonly protocol: string;
  /** `mqtt://127.0.0.1:1883` */
  readonly url: string;
  readonly port: number;
  readonly tls: boolean;
}

export function welcome(product: string, config: Config, listening: readonly Listening[]): string {
  const lines = [`${product} is up.`, ''];
  for (const { protocol, url } of listening) lines.push(`  ${protocol.padEnd(15)} ${url}`);
  const user = config.users[0];
  if (user !== undefined) {
    const password = user.password === undefined ? 'as configured' : user.password;
    const shown = user.name === 'guest' ? password : 'as configured';
    const loopback = config.loopbackUsers.includes(user.name) ? ' (from this machine only)' : '';
    lines.push('', `  account         ${user.name} / ${shown}${loopback}`);
    lines.push(`  messages        ${messagesAre(config)}`);
    lines.push(...crossing(user.name, shown, listening));
  }
  lines.push('', 'Ctrl-C stops it in order.', '');
  return lines.join('\n');
}

function messagesAre(config: Config): string {
  return config.store === 'memory'
    ? 'in memory: gone when this process ends'
    : `durable in ${config.dataDir}`;
}

/** Four lines to paste, one a protocol: the first listens, the others send to it. */
function crossing(user: string, password: string, listening: readonly Listening[]): string[] {
  const port = (protocol: string): number | undefined =>
    listening.find((each) => each.protocol === protocol && !each.tls)?.port;
  const [amqp, mqtt, stomp, xmpp] = ['amqp', 'mqtt', 'stomp', 'xmpp'].map(port);
  if (amqp === undefined || mqtt === undefined || stomp === undefined || xmpp === undefined)
    return [];
  const login = `accept-version:1.2\\nhost:/\\nlogin:${user}\\npasscode:${password}`;
  return [
    '',
    'See a message cross: paste the first line in one terminal, the others in another.',
    '',
    `  mosquitto_sub -p ${mqtt} -u ${user} -P ${password} -v -t 'demo/#'`,
    `  amqp-publish --url=amqp://${user}:${password}@127.0.0.1:${amqp} -e amq.topic -r demo.amqp -b 'hello from AMQP'`,
    `  printf 'CONNECT\\n${login}\\n\\n\\0SEND\\ndestination:/topic/demo.stomp\\n\\nhello from STOMP\\0DISCONNECT\\n\\n\\0' | nc 127.0.0.1 ${stomp}`,
    `  ${xmppLine(user, password, xmpp)}`,
  ];
}

function xmppLine(user: string, password: string, port: number): string {
  const address = 'amq.topic%demo.xmpp@exchanges.localhost';
  return `/usr/bin/python3 -c "import asyncio,slixmpp;c=slixmpp.ClientXMPP('${user}@localhost','${password}');c.use_aiodns=False;c.add_event_handler('session_start',lambda e:(c.send_message('${address}','hello from XMPP'),c.disconnect()));c.connect(('127.0.0.1',${port}));asyncio.get_event_loop().run_until_complete(c.disconnected)"`;
}
