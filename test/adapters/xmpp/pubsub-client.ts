/** Requests to the pubsub service, by a client of a test. */
import type { PipeClient } from './pipe-client.ts';

export const PUBSUB = 'http://jabber.org/protocol/pubsub';

export function ask(
  client: PipeClient,
  type: string,
  action: string,
  namespace: string = PUBSUB,
): string {
  return client.send(
    `<iq type='${type}' id='p' to='pubsub.localhost'><pubsub xmlns='${namespace}'>${action}</pubsub></iq>`,
  );
}

export function put(client: PipeClient, node: string, id: string, payload: string): string {
  return ask(client, 'set', `<publish node='${node}'><item id='${id}'>${payload}</item></publish>`);
}

export function subscribe(client: PipeClient, node: string, jid: string): string {
  return ask(client, 'set', `<subscribe node='${node}' jid='${jid}'/>`);
}

export function owner(client: PipeClient, type: string, action: string): string {
  return ask(client, type, action, `${PUBSUB}#owner`);
}

export function form(fields: Readonly<Record<string, string | readonly string[]>>): string {
  const filled = Object.entries(fields).map(([name, value]) => {
    const texts = typeof value === 'string' ? [value] : value;
    const values = texts.map((text) => `<value>${text}</value>`).join('');
    return `<field var='pubsub#${name}'>${values}</field>`;
  });
  return `<x xmlns='jabber:x:data' type='submit'>${filled.join('')}</x>`;
}
