/**
 * What XMPP clients find again after a stop and after a kill -9: the gateway is a process of its
 * own, of which they see nothing but its stanzas.
 */
import { describe, expect } from 'vitest';
import { RawXmpp } from '../adapters/xmpp/raw-xmpp.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { type Story, tell } from './stories.ts';

const ALL = { '/': { configure: '.*', write: '.*', read: '.*' } };
const NAMES = 'ann bea cid dan eve fay gus hal ida jan kim lea max ned'.split(' ');
const CONFIG = {
  users: NAMES.map((name) => ({ name, password: 'secret', permissions: ALL })),
  xmpp: { allow_registration: true },
};
const PUBSUB = 'http://jabber.org/protocol/pubsub';

type Process = () => GatewayProcess;

function login(gateway: GatewayProcess, user: string, resource: string = 'raw'): Promise<RawXmpp> {
  return RawXmpp.login(gateway.port('xmpp'), { user, resource });
}

/** With stream management. */
async function managed(gateway: GatewayProcess, user: string, resource?: string): Promise<RawXmpp> {
  const client = await login(gateway, user, resource);
  await client.ask("<enable xmlns='urn:xmpp:sm:3' resume='true'/>", '<enabled');
  await client.readText('>');
  return client;
}

/** Everything that the client sent so far, `count` stanzas, is safe. */
function acknowledged(client: RawXmpp, count: number): Promise<string> {
  return client.ask("<r xmlns='urn:xmpp:sm:3'/>", `<a xmlns="urn:xmpp:sm:3" h="${count}"/>`);
}

let ids = 0;

/** The answer to a request that has one with content. */
async function iq(client: RawXmpp, type: string, to: string, content: string): Promise<string> {
  const id = `q${++ids}`;
  const addressed = to === '' ? '' : ` to='${to}'`;
  client.send(`<iq type='${type}' id='${id}'${addressed}>${content}</iq>`);
  const before = await client.readText(`id="${id}"`);
  return before + (await client.readText('</iq>'));
}

function chat(to: string, body: string): string {
  return `<message to='${to}' type='chat'><body>${body}</body></message>`;
}

function entering(room: string, nick: string): string {
  return `<presence to='${room}@rooms.localhost/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`;
}

function field(name: string, value: string): string {
  return `<field var='${name}'><value>${value}</value></field>`;
}

const STORIES: Readonly<Record<string, Story>> = {
  async *'messages wait for who is away, in order, with the time when they were sent'(g: Process) {
    const ann = await managed(g(), 'ann');
    for (let i = 0; i < 20; i++) ann.send(chat('bea@localhost', `m${i}.`));
    await acknowledged(ann, 20);
    yield;
    const bea = await login(g(), 'bea');
    bea.send('<presence/>');
    for (let i = 0; i < 20; i++) {
      const text = await bea.readText('</message>');
      expect(text).toContain(`<body>m${i}.</body>`);
      expect(text).toContain('<delay xmlns="urn:xmpp:delay"');
    }
    bea.send("<presence type='unavailable'/>");
    await iq(bea, 'get', 'localhost', "<query xmlns='jabber:iq:version'/>");
    yield;
    const again = await login(g(), 'bea');
    again.send('<presence/>');
    const rest = await iq(again, 'get', 'localhost', "<query xmlns='jabber:iq:version'/>");
    expect(rest).not.toContain('<message');
  },

  async *'what a resource did not acknowledge goes to the inbox'(g: Process) {
    const cid = await managed(g(), 'cid', 'phone');
    cid.send('<presence/>');
    await cid.readText('<presence');
    const dan = await managed(g(), 'dan');
    dan.send(chat('cid@localhost/phone', 'to the phone'));
    dan.send(chat('cid@localhost', 'to the person'));
    await acknowledged(dan, 2);
    yield;
    const back = await login(g(), 'cid', 'desk');
    back.send('<presence/>');
    const texts = [await back.readText('</message>'), await back.readText('</message>')].join('');
    expect(texts).toContain('<body>to the phone</body>');
    expect(texts).toContain('<body>to the person</body>');
  },

  async *'rosters, requests that wait, and blocking'(g: Process) {
    const eve = await managed(g(), 'eve');
    eve.send(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='fay@localhost' name='F'><group>G</group></item></query></iq>",
    );
    eve.send("<presence to='fay@localhost' type='subscribe'/>");
    eve.send("<presence to='gus@localhost' type='subscribed'/>");
    eve.send(
      "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='spam@localhost'/></block></iq>",
    );
    await acknowledged(eve, 4);
    yield;
    const back = await login(g(), 'eve');
    const roster = await iq(back, 'get', '', "<query xmlns='jabber:iq:roster'/>");
    expect(roster).toMatch(/<item [^>]*jid="fay@localhost"[^>]*name="F"[^>]*ask="subscribe"/);
    expect(roster).toContain('<group>G</group>');
    const blocked = await iq(back, 'get', '', "<blocklist xmlns='urn:xmpp:blocking'/>");
    expect(blocked).toContain('jid="spam@localhost"');
    const fay = await login(g(), 'fay');
    await fay.ask('<presence/>', 'type="subscribe"');
    expect(await fay.readText('>')).toContain('eve@localhost');
    const gus = await managed(g(), 'gus');
    gus.send("<presence/><presence to='eve@localhost' type='subscribe'/>");
    await gus.readText('type="subscribed"');
    await acknowledged(gus, 2);
    yield;
    const anew = await login(g(), 'gus');
    const contacts = await iq(anew, 'get', '', "<query xmlns='jabber:iq:roster'/>");
    expect(contacts).toMatch(/jid="eve@localhost"[^>]*subscription="to"/);
  },

  async *'rooms, with who belongs there, their subject and what was said last'(g: Process) {
    const hal = await managed(g(), 'hal');
    const room = 'hall@rooms.localhost';
    await hal.ask(entering('hall', 'h'), 'code="110"');
    const owner = 'http://jabber.org/protocol/muc#owner';
    const config = ['persistentroom', 'membersonly']
      .map((name) => field(`muc#roomconfig_${name}`, '1'))
      .join('');
    const name = field('muc#roomconfig_roomname', 'The hall');
    hal.send(
      `<iq type='set' id='c' to='${room}'><query xmlns='${owner}'><x xmlns='jabber:x:data' type='submit'>${config}${name}</x></query></iq>`,
    );
    hal.send(
      `<iq type='set' id='m' to='${room}'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='ida@localhost' affiliation='member'/></query></iq>`,
    );
    hal.send(`<message to='${room}' type='groupchat'><subject>Doors</subject></message>`);
    for (const body of ['one', 'two', 'three']) {
      hal.send(`<message to='${room}' type='groupchat'><body>${body}</body></message>`);
    }
    await hal.readText('<body>three</body>');
    await acknowledged(hal, 7);
    yield;
    const ida = await login(g(), 'ida');
    const info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    const told = await iq(ida, 'get', room, info);
    expect(told).toContain('name="The hall"');
    expect(told).toContain('muc_membersonly');
    const seen = await ida.ask(entering('hall', 'i'), '<subject>Doors</subject>');
    expect(seen).toMatch(/affiliation="member"/);
    const bodies = [...seen.matchAll(/from="([^"]*)"[^>]*><body>([a-z]*)<\/body>/g)];
    expect(bodies.map(([, from, body]) => `${from} ${body}`)).toEqual([
      `${room}/h one`,
      `${room}/h two`,
      `${room}/h three`,
    ]);
    expect(seen.match(/<delay /g)?.length).toBeGreaterThanOrEqual(3);
    const jan = await login(g(), 'jan');
    const refused = await jan.ask(entering('hall', 'j'), '</presence>');
    expect(refused).toContain('registration-required');
  },

  async *'nodes, their items, who subscribed and who may publish'(g: Process) {
    const jan = await managed(g(), 'jan');
    const config = field('pubsub#max_items', '5') + field('pubsub#publish_model', 'publishers');
    jan.send(
      `<iq type='set' id='n' to='pubsub.localhost'><pubsub xmlns='${PUBSUB}'><create node='weather'/><configure><x xmlns='jabber:x:data' type='submit'>${config}</x></configure></pubsub></iq>`,
    );
    jan.send(
      `<iq type='set' id='s' to='pubsub.localhost'><pubsub xmlns='${PUBSUB}'><subscribe node='weather' jid='jan@localhost'/></pubsub></iq>`,
    );
    for (let i = 0; i < 7; i++) {
      jan.send(
        `<iq type='set' id='p${i}' to='pubsub.localhost'><pubsub xmlns='${PUBSUB}'><publish node='weather'><item id='i${i}'><t xmlns='urn:t'>${i}</t></item></publish></pubsub></iq>`,
      );
    }
    jan.send(
      "<iq type='set' id='nick'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/nick'><item id='current'><nick xmlns='http://jabber.org/protocol/nick'>J</nick></item></publish></pubsub></iq>",
    );
    await acknowledged(jan, 10);
    yield;
    const back = await login(g(), 'jan');
    const get = (node: string): string =>
      `<pubsub xmlns='${PUBSUB}'><items node='${node}'/></pubsub>`;
    const items = await iq(back, 'get', 'pubsub.localhost', get('weather'));
    expect([...items.matchAll(/<item id="(i\d)"/g)].map(([, id]) => id).sort()).toEqual([
      'i2',
      'i3',
      'i4',
      'i5',
      'i6',
    ]);
    const nick = await iq(back, 'get', 'jan@localhost', get('http://jabber.org/protocol/nick'));
    expect(nick).toContain('>J</nick>');
    back.send('<presence/>');
    const publish = `<pubsub xmlns='${PUBSUB}'><publish node='weather'><item id='new'><t xmlns='urn:t'>new</t></item></publish></pubsub>`;
    back.send(`<iq type='set' id='last' to='pubsub.localhost'>${publish}</iq>`);
    expect(await back.readText('</event>')).toContain('<item id="new"');
    const kim = await login(g(), 'kim');
    kim.send(`<iq type='set' id='no' to='pubsub.localhost'>${publish}</iq>`);
    expect(await kim.readText('</iq>')).toContain('forbidden');
  },

  async *'private storage, cards, accounts that were registered, and archives'(g: Process) {
    const kim = await managed(g(), 'kim');
    kim.send(
      "<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Kim</FN></vCard></iq>" +
        "<iq type='set' id='w'><query xmlns='jabber:iq:private'><x xmlns='urn:x'>kept</x></query></iq>",
    );
    kim.send(chat('lea@localhost', 'for the archive'));
    await acknowledged(kim, 3);
    yield;
    const back = await login(g(), 'kim');
    expect(await iq(back, 'get', '', "<vCard xmlns='vcard-temp'/>")).toContain('<FN>Kim</FN>');
    const stored = "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>";
    expect(await iq(back, 'get', '', stored)).toContain('>kept</x>');
    const query = "<query xmlns='urn:xmpp:mam:2'/>";
    back.send(`<iq type='set' id='mam'>${query}</iq>`);
    expect(await back.readText('</fin>')).toContain('<body>for the archive</body>');
  },
};

describe.each(['stop', 'kill'] as const)('XMPP after a %s', (way) => tell(way, CONFIG, STORIES));
