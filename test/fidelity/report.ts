/**
 * The fidelity report: generated messages cross between every ordered pair of protocols, and each
 * trait of theirs is looked for at the other end. What is not found is `lost`, and a bug.
 */
import { type ConfirmChannel, connect } from 'amqplib';
import type { Message } from '../../core/message.ts';
import {
  type Client,
  type Inbox,
  type Outgoing,
  type Place,
  type Protocol,
  queue,
  topic,
} from '../interop/clients/client.ts';
import { AMQP, type End, MQTT5, STOMPIT, XMPP } from '../interop/clients/ends.ts';
import { type InteropGateway, startInterop } from '../interop/interop-gateway.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { crossed, FORMATS, written } from './formats.ts';
import { type ClientTrait, type CodecTrait, TRAITS, type Trait } from './traits.ts';

const ENDS: readonly End[] = [AMQP, MQTT5, STOMPIT, XMPP];
const TITLES: Readonly<Record<Protocol, string>> = {
  amqp: 'AMQP 0-9-1',
  mqtt: 'MQTT 5',
  stomp: 'STOMP',
  xmpp: 'XMPP',
};

/** `lost`: null, or what went in that did not come out. */
export interface Cell {
  readonly trait: Trait;
  readonly from: Protocol;
  readonly to: Protocol;
  readonly lost: string | null;
}

/** Crosses `rounds` messages a cell, drawn from `seed`. */
export async function measure(seed: number, rounds: number): Promise<readonly Cell[]> {
  const world = await startInterop(ENDS);
  try {
    const pairs = ENDS.flatMap((from) => ENDS.map((to) => new Pair(world, from, to)));
    const cells = await Promise.all(pairs.map((pair) => pair.measure(seed, rounds)));
    return cells.flat();
  } finally {
    await world.stop();
  }
}

/** One sender and one receiver. */
class Pair {
  readonly #world: InteropGateway;
  readonly #from: End;
  readonly #to: End;
  readonly #sender: Client;
  readonly #receiver: Client;

  constructor(world: InteropGateway, from: End, to: End) {
    this.#world = world;
    this.#from = from;
    this.#to = to;
    this.#sender = world.sender(from);
    this.#receiver = world.receiver(to);
  }

  async measure(seed: number, rounds: number): Promise<Cell[]> {
    const random = new SeededRandom(seed);
    const place = queue(this.#world.unique('fidelity'));
    const inbox = await this.#receiver.consume(place);
    const cells: Cell[] = [];
    for (const trait of TRAITS) {
      let lost: string | null = null;
      for (let round = 0; round < rounds && lost === null; round++) {
        lost = await this.#cross(trait, random, place, inbox);
      }
      cells.push({ trait, from: this.#from.protocol, to: this.#to.protocol, lost });
    }
    return cells;
  }

  #cross(
    trait: Trait,
    random: SeededRandom,
    place: Place,
    inbox: Inbox,
  ): Promise<string | null> | string | null {
    if (trait.means === 'clients') return this.#send(trait, random, place, inbox);
    if (trait.means === 'codecs') return this.#convert(trait, random);
    if (trait.means === 'request') return this.#ask(place, inbox);
    return trait.means === 'dead letter' ? this.#die() : this.#type(place, inbox);
  }

  async #send(
    trait: ClientTrait,
    random: SeededRandom,
    place: Place,
    inbox: Inbox,
  ): Promise<string | null> {
    const sent = trait.generate(random);
    await this.#sender.publish(place, sent);
    const received = await inbox.next();
    return trait.arrived(sent, received) ? null : shown(sent, received);
  }

  #convert(trait: CodecTrait, random: SeededRandom): string | null {
    const { properties, retain } = trait.generate(random);
    const fields = { body: Buffer.from('b'), exchange: '', routingKey: 'q', durable: true };
    const all = { ...fields, priority: 0, expiresAt: 0, retain };
    const sent = written(formatOf(this.#from), properties, all);
    const there = crossed(sent, formatOf(this.#to));
    const back = crossed(there, formatOf(this.#from));
    if (trait.arrived(sent, there) && trait.arrived(sent, back)) return null;
    return shown(sent.properties, there.properties);
  }

  /** The receiver answers by its ordinary means, and the sender gets that answer. */
  async #ask(place: Place, inbox: Inbox): Promise<string | null> {
    const correlationId = this.#world.unique('ask');
    const asked = this.#sender.request(place, { body: 'question', correlationId });
    await (await inbox.next()).answer('answer');
    const answer = (await asked).body.toString();
    return answer === 'answer' ? null : shown('answer', answer);
  }

  /** Types leave with the sender, and reach AMQP again when the receiver passes them on. */
  async #type(place: Place, inbox: Inbox): Promise<string | null> {
    const back = queue(this.#world.unique('typed'));
    const home = await this.#world.receiver(AMQP).consume(back);
    const headers = this.#from.protocol === 'amqp' ? TYPED : AS_TEXT;
    await this.#sender.publish(place, { body: 'typed', headers });
    const received = await inbox.next();
    const sender = this.#world.sender(this.#to);
    await sender.publish(back, { body: 'passed on', headers: received.headers });
    const { headers: found } = await home.next();
    const kept = Object.keys(TYPED).every((name) => deepSame(TYPED[name], found[name]));
    return kept ? null : shown(TYPED, found);
  }

  /** A message that expires in its queue goes to another one, with its history. */
  async #die(): Promise<string | null> {
    const name = this.#world.unique('dying');
    const inbox = await this.#receiver.consume(queue(`${name}-dead`));
    const port = this.#world.gateway.port('amqp');
    const connection = await connect(`amqp://user0:secret@127.0.0.1:${port}`);
    const channel = await connection.createConfirmChannel();
    await declareDying(channel, name);
    const message: Outgoing = { body: 'letter', headers: { mine: 'kept' } };
    await this.#sender.publish(topic(name), message);
    const { headers } = await inbox.next();
    await connection.close();
    const { 'x-death': deaths } = headers;
    const list = typeof deaths === 'string' ? (JSON.parse(deaths) as unknown) : deaths;
    const [death] = Array.isArray(list) ? (list as readonly Record<string, unknown>[]) : [];
    const told = death?.['queue'] === name && death['reason'] === 'expired';
    return told && headers['mine'] === 'kept' ? null : shown('x-death', headers);
  }
}

async function declareDying(channel: ConfirmChannel, name: string): Promise<void> {
  await channel.assertQueue(name, {
    deadLetterExchange: '',
    deadLetterRoutingKey: `${name}-dead`,
    messageTtl: 0,
  });
  await channel.bindQueue(name, 'amq.topic', name);
}

/** As amqplib's application writes and reads them, and as those of text protocols do. */
const TYPED: Readonly<Record<string, unknown>> = {
  text: '42',
  count: 100_000,
  share: 3.25,
  truth: true,
  bytes: Buffer.from([0, 255, 10]),
  list: [1, 'two', false],
  table: { four: 4, inner: { five: '5' } },
};
const AS_TEXT: Readonly<Record<string, string>> = {
  text: '42',
  count: '100000',
  share: '3.25',
  truth: 'true',
  bytes: 'AP8K',
  list: '[1,"two",false]',
  table: '{"four":4,"inner":{"five":"5"}}',
  'x-header-types': '{"count":"I","share":"d","truth":"t","bytes":"x","list":"A","table":"F"}',
};

function deepSame(wanted: unknown, found: unknown): boolean {
  return JSON.stringify(wanted) === JSON.stringify(found);
}

function formatOf(end: End): Message['format'] {
  const format = FORMATS[ENDS.indexOf(end)];
  if (format === undefined) throw new Error(`no format for ${end.name}`);
  return format;
}

function shown(sent: unknown, received: unknown): string {
  return `${JSON.stringify(sent)} became ${JSON.stringify(received)}`;
}

/** One table a sender: a row for each trait, a column for each receiver. */
export function table(cells: readonly Cell[]): string {
  return ENDS.map(({ protocol: from }) => {
    const heads = ENDS.map(({ protocol }) => `to ${TITLES[protocol]}`);
    const lines = [
      `### From ${TITLES[from]}`,
      '',
      `| | ${heads.join(' | ')} |`,
      `|---${'|---'.repeat(ENDS.length)}|`,
    ];
    for (const trait of TRAITS) {
      const row = ENDS.map(({ protocol: to }) =>
        verdict(cells.find((c) => c.trait === trait && c.from === from && c.to === to)),
      );
      lines.push(`| ${trait.name} | ${row.join(' | ')} |`);
    }
    return `${lines.join('\n')}\n`;
  }).join('\n');
}

function verdict(cell: Cell | undefined): string {
  if (cell === undefined || cell.lost !== null) return '**lost**';
  const { kind, where } = cell.trait.homes[cell.to];
  if (cell.from === cell.to) return 'kept';
  if (kind === 'field') return `kept: ${where}`;
  return kind === 'envelope' ? `carried: ${where}` : `not expressible: ${where}`;
}

const BEGIN = '<!-- begin: npm run fidelity -->\n';
const END = '<!-- end -->\n';

/** The page with its table replaced. */
export function withTable(page: string, cells: readonly Cell[]): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error('the page has no place for the table');
  return `${page.slice(0, begin + BEGIN.length)}\n${table(cells)}\n${page.slice(end)}`;
}

/** What was lost, a line each. */
export function losses(cells: readonly Cell[]): string[] {
  return cells
    .filter(({ lost }) => lost !== null)
    .map(({ trait, from, to, lost }) => `${trait.name}, ${from} to ${to}: ${lost}`);
}
