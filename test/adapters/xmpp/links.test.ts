/** The gateway as a component of another server: addresses, and what happens while that is away. */
import { describe, expect, it } from 'vitest';
import type { Connection, Dial } from '../../../adapters/adapter.ts';
import { ANSWER_MS } from '../../../adapters/xmpp/barrier.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { PEER, type WorldOptions } from '../../support/world.ts';
import { consume, depth, publish, sessionOf } from './bystander.ts';
import { createXmppWorld, type XmppWorld } from './pipe-client.ts';

const HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='mq.example.org' id='abc'>";
const QUEUE = 'xmpp-link-mq.example.org';
const ROMEO = 'romeo@example.org/orchard';

/** The server `example.org`, as far as it is on one connection of the link. */
class Server {
  readonly transport: PipeTransport;
  readonly connection: Connection;
  /** What came as soon as the link was up. */
  first = '';

  constructor(transport: PipeTransport, connection: Connection) {
    this.transport = transport;
    this.connection = connection;
  }

  send(xml: string): string {
    this.connection.receive(Buffer.from(xml));
    return this.take();
  }

  take(): string {
    return this.transport.sent().toString();
  }

  /** Answers the request that stands at the end of what was `seen`. */
  answer(seen: string): string {
    const id = /<iq type="get" id="([^"]+)"[^>]*><ping/.exec(seen)?.[1] ?? 'none';
    return this.send(`<iq type='result' id='${id}' from='example.org' to='mq.example.org'/>`);
  }

  break(): void {
    this.connection.closed(new Error('broken'));
  }
}

interface LinkedWorld extends XmppWorld {
  /** Takes the connection that the gateway asked for. */
  accept(): Server;
  /** The same, with the handshake done. */
  up(): Server;
  readonly dialled: number;
}

function linked(options: WorldOptions = {}, user: string = 'guest'): LinkedWorld {
  let waiting: Parameters<Dial> | null = null;
  let dialled = 0;
  const dial: Dial = (...args) => {
    dialled++;
    waiting = args;
  };
  const link = { domain: 'mq.example.org', secret: 'hush', user };
  const world = createXmppWorld({ ...options, dial, section: { links: [link] } });
  const accept = (): Server => {
    if (waiting === null) throw new Error('nobody dials');
    const transport = new PipeTransport();
    const server = new Server(transport, waiting[1](transport, PEER));
    waiting = null;
    return server;
  };
  return {
    ...world,
    accept,
    up: () => {
      const server = accept();
      server.first = server.send(`${HEADER}<handshake/>`);
      return server;
    },
    get dialled() {
      return dialled;
    },
  };
}

/** The link's start asks for its queues first, in a turn of its own. */
async function started(options: WorldOptions = {}, user?: string): Promise<LinkedWorld> {
  const world = linked(options, user);
  while (world.dialled === 0) await new Promise((resolve) => setImmediate(resolve));
  return world;
}

describe('a link', () => {
  it('opens a component stream, and proves that it knows the secret', async () => {
    const world = await started();
    const server = world.accept();
    expect(server.take()).toBe(
      '<?xml version="1.0"?><stream:stream xmlns="jabber:component:accept" xmlns:stream="http://etherx.jabber.org/streams" to="mq.example.org">',
    );
    // sha1('abc' + 'hush')
    expect(server.send(HEADER)).toBe(
      '<handshake>94bea03a377fef139dc9d097456e1f81eda5b53c</handshake>',
    );
    server.send('<handshake/>');
    expect(server.transport.loggedIn).toBe(true);
  });

  it('tries again, after longer and longer, when it is refused or lost', async () => {
    const world = await started();
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 8; attempt++) {
      const server = world.accept();
      server.send(
        `${HEADER}<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
      );
      expect(server.transport.ended).toBe('end');
      server.break();
      let waited = 0;
      while (world.dialled === attempt) {
        world.clock.advance(100);
        waited += 100;
      }
      waits.push(waited);
    }
    for (const [index, waited] of waits.entries()) {
      const longest = Math.min(1000 * 2 ** index, 60_000);
      expect(waited).toBeGreaterThanOrEqual(longest / 2);
      expect(waited).toBeLessThanOrEqual(longest + 100);
    }
    world.up().break();
    world.clock.advance(1100);
    expect(world.dialled).toBe(10);
  });

  it('notices a server that does not answer any more', async () => {
    const world = await started();
    const server = world.up();
    server.take();
    world.clock.advance(60_000);
    server.answer(server.take());
    world.clock.advance(60_000);
    expect(server.take()).toContain('<ping xmlns="urn:xmpp:ping"/>');
    world.clock.advance(ANSWER_MS);
    expect(server.take()).toContain('<connection-timeout ');
    expect(server.transport.ended).toBe('end');
  });

  it('needs a user whose permissions the people there have', () => {
    expect(() => linked({}, 'nobody')).toThrow("xmpp.links[0].user: there is no user 'nobody'");
  });
});

describe('messages to people of the other server', () => {
  it('wait durably while it is away, and leave the queue when it has taken them', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    alice.send("<message to='romeo@example.org' type='chat' id='m1'><body>wait</body></message>");
    publish(world, 'amq.xmpp', ROMEO, 'from elsewhere');
    expect(depth(world, QUEUE)).toBe(2);
    world.clock.advance(1);
    const server = world.up();
    const seen = server.first;
    expect(seen).toContain(
      '<message type="chat" id="m1" from="alice@mq.example.org/one" to="romeo@example.org"><body>wait</body><delay ',
    );
    expect(seen).toContain(`from="mq.example.org" to="${ROMEO}"`);
    expect(depth(world, QUEUE)).toBe(2);
    const next = server.answer(seen);
    // The question stood behind the first: the second needs one of its own.
    expect(depth(world, QUEUE)).toBe(1);
    server.answer(next);
    expect(depth(world, QUEUE)).toBe(0);
  });

  it('come again, in their order, after a connection that broke before they were taken', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const server = world.up();
    for (const id of ['a', 'b', 'c']) {
      alice.send(`<message to='romeo@example.org' type='chat' id='${id}'><body>x</body></message>`);
    }
    server.answer(server.take());
    expect(depth(world, QUEUE)).toBe(2);
    server.break();
    world.clock.advance(1000);
    const again = world.up().first;
    expect([...again.matchAll(/<message [^>]*id="(.)"/g)].map(([, id]) => id)).toEqual(['b', 'c']);
    expect(again).toContain('<delay xmlns="urn:xmpp:delay" from="mq.example.org"');
  });

  it('that come back go to the queue of refused ones, with the condition; senders are told', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const server = world.up();
    alice.send("<message to='nobody@example.org' type='chat' id='m1'><body>who</body></message>");
    const seen = server.take();
    server.send(
      "<message type='error' id='m1' from='nobody@example.org' to='alice@mq.example.org/one'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    expect(alice.take()).toContain('from="nobody@example.org" to="alice@localhost/one"');
    expect([depth(world, QUEUE), depth(world, `${QUEUE}-refused`)]).toEqual([0, 1]);
    server.answer(seen);
    const reasons: unknown[] = [];
    const session = sessionOf(world);
    consume(session, `${QUEUE}-refused`, ({ message }) => {
      reasons.push(message.properties.headers, message.body.toString());
    });
    expect(reasons).toEqual([[['x-xmpp-error', 'service-unavailable']], 'who']);
  });

  it('do not wait where they only say that somebody types', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const states = 'http://jabber.org/protocol/chatstates';
    const went = alice.send(
      `<message to='romeo@example.org' type='headline'><composing xmlns='${states}'/></message>`,
    );
    expect(went).toContain('<remote-server-timeout ');
    const asked = alice.send(
      "<iq type='get' id='i' to='romeo@example.org/x'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    expect(asked).toContain('<remote-server-timeout ');
    expect(alice.send("<presence to='romeo@example.org'/>")).toBe('');
    expect(depth(world, QUEUE)).toBe(0);
  });
});

describe('people of the other server', () => {
  it('produce to queues, and are told when the message is safe', async () => {
    const world = await started();
    const server = world.up();
    const seen = server.send(
      `<message from='${ROMEO}' to='jobs\\40queues@mq.example.org' id='j1'><body>work</body><request xmlns='urn:xmpp:receipts'/></message>`,
    );
    expect(seen).toContain(
      `<message from="jobs\\40queues@mq.example.org" to="${ROMEO}" id="received-j1"><received xmlns="urn:xmpp:receipts" id="j1"/></message>`,
    );
    expect(depth(world, 'jobs')).toBe(1);
  });

  it('consume queues, go on after the link was down, and get nothing twice', async () => {
    const world = await started();
    let server = world.up();
    server.take();
    server.send(`<presence from='${ROMEO}' to='jobs\\40queues@mq.example.org'/>`);
    publish(world, '', 'jobs', 'one');
    publish(world, '', 'jobs', 'two');
    const seen = server.take();
    expect(seen).toMatch(/from="jobs\\40queues@mq.example.org"[^>]*><body>one<\/body>/);
    server.answer(seen);
    server.break();
    publish(world, '', 'jobs', 'three');
    world.clock.advance(1000);
    server = world.up();
    const bodies = [...server.first.matchAll(/<body>(.*?)<\/body>/g)].map(([, body]) => body);
    expect(bodies).toEqual(['two', 'three']);
  });

  it('that are gone lose the queue to others', async () => {
    const world = await started();
    const server = world.up();
    server.send(`<presence from='${ROMEO}' to='jobs\\40queues@mq.example.org'/>`);
    publish(world, '', 'jobs', 'one', { messageId: 'm1' });
    const error =
      "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    server.send(
      `<message type='error' id='m1' from='${ROMEO}' to='jobs\\40queues@mq.example.org'>${error}</message>`,
    );
    expect(depth(world, 'jobs')).toBe(1);
    const alice = world.online('alice', 'one');
    expect(alice.send("<presence to='jobs@queues.localhost'/>")).toContain('<body>one</body>');
  });

  it('chat with people here, see their presence, and ask', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const server = world.up();
    server.take();
    server.send(
      `<message from='${ROMEO}' to='alice@mq.example.org' type='chat'><body>hi</body></message>`,
    );
    expect(alice.take()).toContain(
      `from="${ROMEO}" to="alice@localhost" type="chat"><body>hi</body>`,
    );
    server.send(
      "<presence from='romeo@example.org' to='alice@mq.example.org' type='subscribe' id='s'/>",
    );
    expect(alice.take()).toContain('type="subscribe"');
    alice.send("<presence to='romeo@example.org' type='subscribed'/>");
    const answered = server.take();
    expect(answered).toContain(
      'to="romeo@example.org" type="subscribed" from="alice@mq.example.org"',
    );
    expect(answered).toContain('from="alice@mq.example.org/one" to="romeo@example.org"');
    const info = server.send(
      `<iq type='get' id='d' from='${ROMEO}' to='mq.example.org'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>`,
    );
    expect(info).toContain('<item jid="\\40queues@mq.example.org"/>');
    expect(info).not.toContain('localhost');
  });

  it('meet in rooms with people here', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const server = world.up();
    const x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    alice.send(`<presence to='hall@rooms.localhost/al'>${x}</presence>`);
    const entered = server.send(
      `<presence from='${ROMEO}' to='hall\\40rooms@mq.example.org/ro'>${x}</presence>`,
    );
    expect(entered).toContain('from="hall\\40rooms@mq.example.org/al"');
    alice.take();
    server.send(
      `<message from='${ROMEO}' to='hall\\40rooms@mq.example.org' type='groupchat'><body>hello</body></message>`,
    );
    expect(alice.take()).toContain('from="hall@rooms.localhost/ro"');
    server.break();
    expect(alice.take()).toMatch(
      /from="hall@rooms.localhost\/ro"[^>]*type="unavailable"|type="unavailable"[^>]*from="hall@rooms.localhost\/ro"/,
    );
  });

  it('answer workers of other protocols who answer them', async () => {
    const world = await started();
    const server = world.up();
    server.send(
      `<message from='${ROMEO}' to='jobs\\40queues@mq.example.org'><body>2+2</body></message>`,
    );
    const session = sessionOf(world);
    consume(session, 'jobs', ({ message }) => {
      const { replyTo } = message.properties;
      expect(replyTo).toEqual({ exchange: 'amq.xmpp', routingKey: ROMEO });
      publish(world, 'amq.xmpp', ROMEO, '4');
    });
    expect(server.take()).toMatch(new RegExp(`to="${ROMEO}"[^>]*><body>4</body>`));
  });

  it('have the permissions of the link, and no others', async () => {
    const world = await started({}, 'limited');
    const server = world.up();
    server.take();
    const refused = server.send(
      `<message from='${ROMEO}' to='jobs\\40queues@mq.example.org' id='m'><body>x</body></message>`,
    );
    expect(refused).toContain('<forbidden ');
    const strange = server.send(
      "<message from='x@other.org' to='alice@mq.example.org' id='m'><body>x</body></message>",
    );
    expect(strange).toContain('<forbidden ');
    const error = "<message type='error' from='x@other.org' to='alice@mq.example.org'/>";
    expect(server.send(`${error}<presence from='x@other.org' to='alice@mq.example.org'/>`)).toBe(
      '',
    );
  });

  it('cannot speak in the name of people here', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const server = world.up();
    server.send("<message from='bob@localhost' to='alice@mq.example.org'><body>x</body></message>");
    server.send(
      "<message from='bob@mq.example.org' to='alice@mq.example.org'><body>x</body></message>",
    );
    expect(alice.take()).toBe('');
  });
});

describe('the end', () => {
  it('waits for what is on its way to be taken', async () => {
    const world = await started();
    const alice = world.online('alice', 'one');
    const server = world.up();
    alice.send("<message to='romeo@example.org' type='chat' id='m1'><body>bye</body></message>");
    const seen = server.take();
    const stopped = world.gate.stop();
    expect(server.transport.ended).toBeNull();
    server.answer(seen);
    await stopped;
    expect(server.take()).toContain('</stream:stream>');
    expect(depth(world, QUEUE)).toBe(0);
    server.break();
    world.clock.advance(120_000);
    expect(world.dialled).toBe(1);
  });
});
