/**
 * The smallest protocol that is worth the name, as an example of an adapter (docs/embedding.md):
 *
 *     LOGIN user password      OK
 *     PUT exchange key text    OK, once it is confirmed
 *     TAKE queue               OK, then GOT text for each message
 *     anything else            NO and the reason; the connection ends
 */
import type { Adapter, Connection, Context, Gate, Transport } from '../../adapters/adapter.ts';
import type { Principal } from '../../core/auth.ts';
import {
  type Consumer,
  type Delivery,
  NO_ARGUMENTS,
  Outcome,
  type Peer,
  type Publisher,
  type PublisherEvents,
  type Session,
} from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import { type Format, Message } from '../../core/message.ts';

const LINE_BYTES_MAX = 8192;
const NOTHING = Buffer.alloc(0);

/** A line has no properties. */
const lineFormat: Format = { name: 'line', read: () => ({ headers: [] }), write: () => NOTHING };

export const line: Adapter<null> = {
  protocols: ['line'],
  ports: { line: { plain: 7000, tls: 7001 } },
  subprotocols: ['line'],
  options: () => null,
  format: () => lineFormat,
  start: (context) => new LineGate(context),
};

class LineGate implements Gate {
  readonly #context: Context;
  readonly #connections = new Set<LineConnection>();

  constructor(context: Context) {
    this.#context = context;
  }

  accept(transport: Transport, peer: Peer): Connection {
    const ended = (connection: LineConnection): void => void this.#connections.delete(connection);
    const connection = new LineConnection(this.#context, transport, peer, ended);
    this.#connections.add(connection);
    return connection;
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) connection.end('the broker stops');
  }
}

class LineConnection implements Connection, Consumer, PublisherEvents {
  readonly #context: Context;
  readonly #transport: Transport;
  readonly #peer: Peer;
  readonly #ended: (connection: LineConnection) => void;
  #partial = '';
  #session: Session | null = null;
  #publisher: Publisher | null = null;
  #tags = 0;

  constructor(
    context: Context,
    transport: Transport,
    peer: Peer,
    ended: (connection: LineConnection) => void,
  ) {
    this.#context = context;
    this.#transport = transport;
    this.#peer = peer;
    this.#ended = ended;
  }

  receive(chunk: Buffer): void {
    const lines = (this.#partial + chunk.toString('utf8')).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const text of lines) this.#line(text.split(' '));
    if (this.#partial.length > LINE_BYTES_MAX) this.end('the line is too long');
  }

  drained(): void {}

  closed(): void {
    this.#ended(this);
    this.#session?.close();
  }

  deliver(delivery: Delivery): void {
    this.#write(`GOT ${delivery.message.body.toString('utf8')}`);
    delivery.settle(Outcome.ACCEPT);
  }

  cancelled(): void {
    this.end('the queue is gone');
  }

  settled(): void {
    this.#write('OK');
  }

  returned(): void {}

  writable(): void {
    this.#transport.release();
  }

  end(reason: string): void {
    this.#write(`NO ${reason}`);
    this.#transport.end();
  }

  #line([command, ...rest]: string[]): void {
    const [first = '', second = '', ...words] = rest;
    if (command === 'LOGIN') this.#login(first, second);
    else if (this.#session === null) this.end('log in first');
    else if (command === 'PUT') this.#put(first, second, words.join(' '));
    else if (command === 'TAKE') this.#take(this.#session, first);
    else this.end('unknown command');
  }

  /** Both answers may come later: until then nothing more is read. */
  #login(user: string, password: string): void {
    const { authenticator } = this.#context;
    this.#transport.hold();
    const failed = (error: unknown): void => this.end(reasonOf(error));
    after(
      () => authenticator.authenticate({ kind: 'password', user, password }, this.#peer),
      (answer) => (typeof answer === 'string' ? this.end('refused') : this.#open(answer, failed)),
      failed,
    );
  }

  #open(principal: Principal, failed: (error: unknown) => void): void {
    after(
      () => this.#context.engine.open('/', principal, this.#peer),
      (session) => {
        this.#session = session;
        this.#publisher = session.publisher(this);
        this.#transport.authenticated();
        this.#write('OK');
        this.#transport.release();
      },
      failed,
    );
  }

  #put(exchange: string, key: string, text: string): void {
    const now = this.#context.clock.now();
    const body = Buffer.from(text);
    const address = exchange === '-' ? '' : exchange;
    const message = new Message(lineFormat, NOTHING, body, address, key, false, 0, 0, now);
    try {
      if (this.#publisher?.publish(message, ++this.#tags, false) === false) this.#transport.hold();
    } catch (error) {
      this.end(reasonOf(error));
    }
  }

  #take(session: Session, queue: string): void {
    const spec = {
      ...{ queue, tag: 'line', acknowledge: true, exclusive: false },
      ...{ priority: 0, credits: [], arguments: NO_ARGUMENTS },
    };
    after(
      () => session.consume(spec, this),
      () => this.#write('OK'),
      (error) => this.end(reasonOf(error)),
    );
  }

  #write(text: string): void {
    this.#transport.output.write(Buffer.from(`${text}\n`));
    this.#transport.cut();
  }
}
