/**
 * Fuzzes the XMPP adapter: pieces of streams, cut, doubled and with bytes changed, in random splits,
 * before and after login, beside a client that must not notice.
 */
import {
  createXmppWorld,
  HEADER,
  type PipeClient,
  plain,
  type XmppWorld,
} from '../adapters/xmpp/pipe-client.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const PIECES: readonly string[] = [
  HEADER,
  `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain('alice', 'secret')}</auth>`,
  "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
  "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>f</resource></bind></iq>",
  '<presence><priority>1</priority></presence>',
  "<presence type='unavailable'/>",
  "<presence to='bob@localhost' type='subscribe'/>",
  "<presence to='r@rooms.localhost/n'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
  "<message to='r@rooms.localhost' type='groupchat'><body>x</body></message>",
  "<message to='bob@localhost' type='chat' id='1'><body>x&amp;&#x41;<![CDATA[<>]]></body><thread>t</thread></message>",
  "<message to='q%41\\20@queues.localhost'><headers xmlns='http://jabber.org/protocol/shim'><header name='Expiration'>5</header></headers></message>",
  "<presence to='q@queues.localhost'/>",
  "<presence to='amq.topic%a.*@exchanges.localhost'/>",
  "<message to='amq.topic%a.b@exchanges.localhost'><payload xmlns='urn:rosettamq:payload' encoding='base64'>AAEC</payload></message>",
  "<iq type='set' id='p' to='pubsub.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='a/b'><item id='i'><e xmlns='urn:e'/></item></publish></pubsub></iq>",
  "<iq type='set' id='s' to='pubsub.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='a/b' jid='alice@localhost'/></pubsub></iq>",
  "<iq type='set' id='o' to='r@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_historylength'><value>3</value></field></x></query></iq>",
  "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='B'><group>g</group></item></query></iq>",
  "<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver='1'/></iq>",
  "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
  "<iq type='set' id='x'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>",
  "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
  "<r xmlns='urn:xmpp:sm:3'/>",
  "<a xmlns='urn:xmpp:sm:3' h='1'/>",
  '</stream:stream>',
  ' ',
];

const LOGIN = PIECES.slice(0, 2).join('') + HEADER + PIECES[3] + PIECES[4];

/** One round is one connection's input. Throws where the adapter does, or where the witness is harmed. */
export function fuzz(seed: number, rounds: number): void {
  const random = new SeededRandom(seed);
  let world = createXmppWorld({ seed });
  let witness = world.online('bob', 'witness');
  for (let round = 0; round < rounds; round++) {
    if (round % 500 === 499) {
      world = createXmppWorld({ seed: seed + round });
      witness = world.online('bob', 'witness');
    }
    const client = world.connect(
      random.below(8) === 0,
      random.below(16) === 0 ? 'xmpp-component' : 'xmpp',
    );
    const login = random.below(4) > 0 ? LOGIN : '';
    feed(client, Buffer.from(login), random);
    const input = mutated(random);
    feed(client, input, random);
    const answers = client.take();
    // What the adapter did not foresee is caught, and shows as this.
    if (answers.includes('<internal-server-error')) throw new Error(`${input} gave ${answers}`);
    client.connection.closed(random.below(2) === 0 ? null : new Error('reset'));
    client.take();
    if (random.below(64) === 0) world.clock.advance(random.below(400_000));
    if (round % 50 === 0) check(world, witness);
  }
}

function mutated(random: SeededRandom): Buffer {
  let bytes: Buffer = Buffer.from(
    Array.from({ length: 1 + random.below(6) }, () => random.pick(PIECES)).join(''),
  );
  for (let count = random.below(4); count > 0; count--) {
    const at = random.below(bytes.length + 1);
    const to = Math.min(bytes.length, at + random.below(12));
    const kind = random.below(4);
    if (kind === 0) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
    else if (kind === 2)
      bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(3), bytes.subarray(to)]);
    else if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  }
  return bytes;
}

function feed(client: PipeClient, bytes: Buffer, random: SeededRandom): void {
  for (let from = 0; from < bytes.length; ) {
    const to = from + 1 + random.below(random.below(3) === 0 ? 5 : 400);
    client.connection.receive(Buffer.from(bytes.subarray(from, to)));
    from = to;
  }
}

function check(world: XmppWorld, witness: PipeClient): void {
  witness.take();
  const answer = witness.send(
    "<iq type='get' id='w' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
  );
  if (!answer.includes('id="w"')) throw new Error(`the witness got ${answer}`);
  if (witness.transport.held !== 0) throw new Error('the witness is held');
  if (world.engine.admin.totals().sessions > 200) throw new Error('sessions are left behind');
}
