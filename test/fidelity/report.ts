/**
 * The fidelity report: generated messages cross between every ordered pair of protocols, and each
 * trait of theirs is looked for at the other end. What is not found is `lost`, and a bug.
 */
import { type ConfirmChannel, connect } from 'amqplib';
import type { Message } from '../../core/message.ts';
import {
  type Client,
  type Inbox,
  type Place,
  type Protocol,
  topic,
} from '../interop/clients/client.ts';
import { AMQP, type End, MQTT5, STOMPIT, XMPP } from '../interop/clients/ends.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { crossed, FORMATS, written } from './formats.ts';
import type { Ground, Visit } from './ground.ts';
import { type ClientTrait, type CodecTrait, TRAITS, type Trait } from './traits.ts';

/** The ends of the gateway's own report. */
export const ENDS: readonly End[] = [AMQP, MQTT5, STOMPIT, XMPP];
/** `lost`: null, or what went in that did not come out. */
export interface Cell {
  readonly trait: Trait;
  readonly from: Protocol;
  readonly to: Protocol;
  readonly lost: string | null;
}

/** Crosses `rounds` messages a cell, drawn from `seed`. */
export async function measure(
  ground: Ground,
  seed: number,
  rounds: number,
  traits: readonly Trait[] = TRAITS,
): Promise<readonly Cell[]> {
  try {
    const { ends } = ground;
    const pairs = ends.flatMap((from) => ends.map((to) => new Pair(ground, from, to)));
    const cells = await Promise.all(pairs.map((pair) => pair.measure(seed, rounds, traits)));
    return cells.flat();
  } finally {
    await ground.stop();
  }
}

/** A crossing that takes longer has lost its message, or its connection. */
const PATIENCE_MS = 10_000;

async function patiently<T>(crossing: Promise<T> | T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('nothing came of it')), PATIENCE_MS);
  });
  return Promise.race([crossing, late]).finally(() => clearTimeout(timer));
}

/** One crossing: who sends, who receives, and where. */
interface Crossing {
  readonly sender: Client;
  readonly place: Place;
  readonly inbox: Inbox;
  readonly visit: Visit;
}

/** One sender and one receiver. */
class Pair {
  readonly #ground: Ground;
  readonly #from: End;
  readonly #to: End;

  constructor(ground: Ground, from: End, to: End) {
    this.#ground = ground;
    this.#from = from;
    this.#to = to;
  }

  async measure(seed: number, rounds: number, traits: readonly Trait[]): Promise<Cell[]> {
    const random = new SeededRandom(seed);
    const cells: Cell[] = [];
    for (const trait of traits) {
      const lost = await this.#measure(trait, random, rounds);
      cells.push({ trait, from: this.#from.protocol, to: this.#to.protocol, lost });
    }
    return cells;
  }

  /** Null, or what did not come out of the first round that lost something. */
  async #measure(trait: Trait, random: SeededRandom, rounds: number): Promise<string | null> {
    const visit = await this.#ground.visit();
    try {
      const crossing = await this.#cross(visit);
      for (let round = 0; round < rounds; round++) {
        const lost = await patiently(this.#round(trait, random, crossing));
        if (lost !== null) return lost;
      }
      return null;
    } catch (error) {
      return String(error);
    } finally {
      await visit.close();
    }
  }

  async #cross(visit: Visit): Promise<Crossing> {
    const place = this.#ground.place(this.#ground.unique('fidelity'));
    const receiver = await visit.receiver(this.#to);
    const inbox = await receiver.consume(place);
    return { sender: await visit.sender(this.#from), place, inbox, visit };
  }

  #round(
    trait: Trait,
    random: SeededRandom,
    crossing: Crossing,
  ): Promise<string | null> | string | null {
    if (trait.means === 'clients') return this.#send(trait, random, crossing);
    if (trait.means === 'codecs') return this.#convert(trait, random);
    if (trait.means === 'request') return this.#ask(crossing);
    return trait.means === 'dead letter' ? this.#die(crossing) : this.#type(crossing);
  }

  async #send(
    trait: ClientTrait,
    random: SeededRandom,
    { sender, place, inbox }: Crossing,
  ): Promise<string | null> {
    const sent = trait.generate(random);
    await sender.publish(place, sent);
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
  async #ask({ sender, place, inbox }: Crossing): Promise<string | null> {
    const correlationId = this.#ground.unique('ask');
    const asked = sender.request(place, { body: 'question', correlationId });
    asked.catch(() => {});
    await (await inbox.next()).answer('answer');
    const answer = (await asked).body.toString();
    return answer === 'answer' ? null : shown('answer', answer);
  }

  /** Types leave with the sender, and reach AMQP again when the receiver passes them on. */
  async #type({ sender, place, inbox, visit }: Crossing): Promise<string | null> {
    const back = this.#ground.place(this.#ground.unique('typed'));
    const home = await (await visit.receiver(AMQP)).consume(back);
    const headers = this.#from.protocol === 'amqp' ? TYPED : AS_TEXT;
    await sender.publish(place, { body: 'typed', headers });
    const received = await inbox.next();
    const passer = await visit.sender(this.#to);
    await passer.publish(back, { body: 'passed on', headers: received.headers });
    const { headers: found } = await home.next();
    const kept = Object.keys(TYPED).every((name) => deepSame(TYPED[name], found[name]));
    return kept ? null : shown(TYPED, found);
  }

  /** A message that expires in its queue goes on to the receiver, with its history. */
  async #die({ sender, place, inbox }: Crossing): Promise<string | null> {
    const name = this.#ground.unique('dying');
    const connection = await connect(this.#ground.amqpUrl);
    const channel = await connection.createConfirmChannel();
    await declareDying(channel, name, place);
    await sender.publish(topic(name), { body: 'letter', headers: { mine: 'kept' } });
    const { headers } = await inbox.next().finally(() => connection.close());
    const { 'x-death': deaths } = headers;
    const list = typeof deaths === 'string' ? parsed(deaths) : deaths;
    const [death] = Array.isArray(list) ? (list as readonly Record<string, unknown>[]) : [];
    const told = death?.['queue'] === name && death['reason'] === 'expired';
    return told && headers['mine'] === 'kept' ? null : shown('x-death', headers);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function declareDying(channel: ConfirmChannel, name: string, to: Place): Promise<void> {
  await channel.assertQueue(name, {
    exclusive: true,
    deadLetterExchange: to.kind === 'queue' ? '' : 'amq.topic',
    deadLetterRoutingKey: to.kind === 'topic' ? to.key : 'name' in to ? to.name : '',
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
