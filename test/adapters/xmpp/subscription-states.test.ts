/** RFC 6121 appendix A: every state of a subscription, and every stanza in it, both ways. */
import { describe, expect, test } from 'vitest';
import { createXmppWorld, type PipeClient } from './pipe-client.ts';

const CONTACT = 'x@comp.localhost';

/** As the appendix writes them: what is subscribed, `>` a request of ours out, `<` one of theirs in. */
const STATES = ['none', 'none>', 'none<', 'none><', 'to', 'to<', 'from', 'from>', 'both'] as const;
type State = (typeof STATES)[number];
type Type = 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed';

/** Whether the stanza goes on (is routed, or delivered), and the state afterwards, `=` the same. */
type Step = readonly [goesOn: boolean, after: State | '='];
type Table = Readonly<Record<State, Step>>;

const YES: Step = [true, '='];
const NO: Step = [false, '='];

/** A.2: what the user sends. */
const OUTBOUND: Readonly<Record<Type, Table>> = {
  subscribe: {
    none: [true, 'none>'],
    'none>': YES,
    'none<': [true, 'none><'],
    'none><': YES,
    to: YES,
    'to<': YES,
    from: [true, 'from>'],
    'from>': YES,
    both: YES,
  },
  unsubscribe: {
    none: YES,
    'none>': [true, 'none'],
    'none<': YES,
    'none><': [true, 'none<'],
    to: [true, 'none'],
    'to<': [true, 'none<'],
    from: YES,
    'from>': [true, 'from'],
    both: [true, 'from'],
  },
  subscribed: {
    none: NO,
    'none>': NO,
    'none<': [true, 'from'],
    'none><': [true, 'from>'],
    to: NO,
    'to<': [true, 'both'],
    from: NO,
    'from>': NO,
    both: NO,
  },
  unsubscribed: {
    none: NO,
    'none>': NO,
    'none<': [true, 'none'],
    'none><': [true, 'none>'],
    to: NO,
    'to<': [true, 'to'],
    from: [true, 'none'],
    'from>': [true, 'none>'],
    both: [true, 'to'],
  },
};

/** A.3: what the contact sends. */
const INBOUND: Readonly<Record<Type, Table>> = {
  subscribe: {
    none: [true, 'none<'],
    'none>': [true, 'none><'],
    'none<': NO,
    'none><': NO,
    to: [true, 'to<'],
    'to<': NO,
    from: NO,
    'from>': NO,
    both: NO,
  },
  unsubscribe: {
    none: NO,
    'none>': NO,
    'none<': [true, 'none'],
    'none><': [true, 'none>'],
    to: NO,
    'to<': [true, 'to'],
    from: [true, 'none'],
    'from>': [true, 'none>'],
    both: [true, 'to'],
  },
  subscribed: {
    none: NO,
    'none>': [true, 'to'],
    'none<': NO,
    'none><': [true, 'to<'],
    to: NO,
    'to<': NO,
    from: NO,
    'from>': [true, 'both'],
    both: NO,
  },
  unsubscribed: {
    none: NO,
    'none>': [true, 'none'],
    'none<': NO,
    'none><': [true, 'none<'],
    to: [true, 'none'],
    'to<': [true, 'none<'],
    from: NO,
    'from>': [true, 'from'],
    both: [true, 'from'],
  },
};

interface Stored {
  readonly contacts: Readonly<
    Record<string, { readonly subscription: string; readonly asked: boolean }>
  >;
  readonly requests: Readonly<Record<string, string>>;
}

interface Scene {
  readonly alice: PipeClient;
  readonly contact: PipeClient;
  state(): string;
}

/** Alice with her contact in a state; the contact is a component, which takes whatever is routed. */
function scene(state: State): Scene {
  const world = createXmppWorld();
  const table = world.context.engine.table('xmpp.roster');
  const subscription = /^[a-z]+/.exec(state)?.[0] ?? 'none';
  const asked = state.includes('>');
  const known = subscription !== 'none' || asked;
  const contacts = known
    ? { [CONTACT]: { jid: CONTACT, name: null, subscription, asked, groups: [] } }
    : {};
  const request = `<presence from="${CONTACT}" to="alice@localhost" type="subscribe"/>`;
  const requests = state.includes('<') ? { [CONTACT]: request } : {};
  table.set('alice@localhost', Buffer.from(JSON.stringify({ version: 1, contacts, requests })));
  const contact = world.component();
  const alice = world.online('alice', 'one');
  contact.take();
  alice.take();
  const read = (): string => {
    const bytes = table.get('alice@localhost')?.toString() ?? '{}';
    const stored = JSON.parse(bytes) as Stored;
    const entry = stored.contacts[CONTACT];
    const waiting = stored.requests[CONTACT] === undefined ? '' : '<';
    return `${entry?.subscription ?? 'none'}${entry?.asked === true ? '>' : ''}${waiting}`;
  };
  return { alice, contact, state: read };
}

function cases(tables: Readonly<Record<Type, Table>>): [State, string, Step][] {
  return Object.entries(tables).flatMap(([type, table]) =>
    STATES.map((state): [State, string, Step] => [state, type, table[state]]),
  );
}

describe('what the user sends', () => {
  test.each(cases(OUTBOUND))('in %s: %s', (state, type, [routed, after]) => {
    const { alice, contact, state: read } = scene(state);
    alice.send(`<presence to='${CONTACT}' type='${type}'/>`);
    const seen = contact.take();
    expect(seen.includes(`type="${type}"`)).toBe(routed);
    if (routed) expect(seen).toContain('from="alice@localhost"');
    expect(read()).toBe(after === '=' ? state : after);
  });
});

describe('what the contact sends', () => {
  test.each(cases(INBOUND))('in %s: %s', (state, type, [delivered, after]) => {
    const { alice, contact, state: read } = scene(state);
    const answer = contact.send(
      `<presence from='${CONTACT}' to='alice@localhost' type='${type}'/>`,
    );
    expect(alice.take().includes(`type="${type}"`)).toBe(delivered);
    expect(read()).toBe(after === '=' ? state : after);
    // RFC 6121 3.1.3: who is subscribed already is told so.
    const again = type === 'subscribe' && /^(from|both)/.test(state);
    expect(answer.includes('type="subscribed"')).toBe(again);
  });
});

describe('an answer before the request (RFC 6121 3.4)', () => {
  test('is kept, and given when the request comes', () => {
    const { alice, contact, state } = scene('none');
    alice.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    const pushed = alice.send(`<presence to='${CONTACT}' type='subscribed'/>`);
    expect(pushed).toContain('subscription="none" approved="true"');
    expect(contact.take()).toBe('');
    expect(alice.send(`<presence to='${CONTACT}' type='subscribed'/>`)).toBe('');
    const answer = contact.send(
      `<presence from='${CONTACT}' to='alice@localhost' type='subscribe'/>`,
    );
    expect(answer).toContain('type="subscribed"');
    expect(answer).toContain('from="alice@localhost/one"');
    expect(alice.take()).toContain('subscription="from"');
    expect(state()).toBe('from');
  });

  test('is taken back by a refusal, which the contact does not see', () => {
    const { alice, contact, state } = scene('none');
    alice.send(`<presence to='${CONTACT}' type='subscribed'/>`);
    alice.send(`<presence to='${CONTACT}' type='unsubscribed'/>`);
    expect(contact.take()).toBe('');
    contact.send(`<presence from='${CONTACT}' to='alice@localhost' type='subscribe'/>`);
    expect(alice.take()).toContain('type="subscribe"');
    expect(state()).toBe('none<');
  });
});
