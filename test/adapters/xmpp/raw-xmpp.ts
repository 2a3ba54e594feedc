/** An XMPP client over TCP that sends what a test writes, to this gateway or to another server. */
import { connect } from 'node:net';
import { RawClient } from '../../support/raw-client.ts';
import { plain } from './pipe-client.ts';

export interface Account {
  readonly user: string;
  /** The server's; `localhost` where it is not said. */
  readonly domain?: string;
  readonly resource?: string;
}

export class RawXmpp extends RawClient {
  /** Logs in with PLAIN and binds. */
  static async login(port: number, account: Account): Promise<RawXmpp> {
    const { user, domain = 'localhost', resource = 'raw' } = account;
    const client = new RawXmpp(connect({ port, host: '127.0.0.1', noDelay: true }));
    const header =
      `<?xml version='1.0'?><stream:stream to='${domain}' version='1.0' ` +
      "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    await client.ask(header, '</stream:features>');
    const auth = plain(user, 'secret');
    await client.ask(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${auth}</auth>`,
      '<success',
    );
    await client.readText('>');
    await client.ask(header, '</stream:features>');
    const bind = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind>`;
    await client.ask(`<iq type='set' id='bind'>${bind}</iq>`, '</iq>');
    return client;
  }

  /** Sends, and answers everything up to the end of `text`. */
  ask(xml: string, text: string): Promise<string> {
    this.send(xml);
    return this.readText(text);
  }
}
