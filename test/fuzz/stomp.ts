/** Mutated frames against a whole STOMP connection, and against the decoder's own promise. */
import { Decoder } from '../../adapters/stomp/codec.ts';
import { StompError } from '../../adapters/stomp/errors.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { type Client, createBroker } from '../adapters/stomp/script.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const LIMITS = { messageBytesMax: 2000, stompHeadersMax: 20, stompHeadBytesMax: 2000 };

const FRAMES = [
  'CONNECT\naccept-version:1.0,1.1,1.2\nlogin:guest\npasscode:guest\nheart-beat:10,10\n\n\0',
  'SEND\ndestination:/queue/a\nreceipt:1\npersistent:true\n\nbody\0',
  'SEND\ndestination:/topic/a.b\ncontent-length:3\nreply-to:/temp-queue/r\nx:\\c\\n\n\na\0b\0',
  'SEND\ndestination:/exchange/amq.fanout\ntransaction:t\nexpiration:5\n\nx\0',
  'SUBSCRIBE\ndestination:/queue/a\nid:1\nack:client\nprefetch-count:2\n\n\0',
  'SUBSCRIBE\ndestination:/topic/a.*\nid:2\nselector:a > 1\n\n\0',
  'SUBSCRIBE\ndestination:/topic/d\nid:3\ndurable:true\nauto-delete:false\n\n\0',
  'SUBSCRIBE\ndestination:/exchange/amq.fanout\nid:4\nack:client-individual\n\n\0',
  'UNSUBSCRIBE\nid:1\n\n\0',
  'ACK\nid:T_1@@session-x@@1.1\nmessage-id:T_1@@session-x@@1.1\nsubscription:1\n\n\0',
  'NACK\nid:1\ntransaction:t\n\n\0',
  'BEGIN\ntransaction:t\n\n\0',
  'COMMIT\ntransaction:t\nreceipt:2\n\n\0',
  'ABORT\ntransaction:t\n\n\0',
  'DISCONNECT\nreceipt:3\n\n\0',
  'SEND\ndestination:/queue/a,b\nJMSXGroupID:g\nJMSXGroupSeq:-1\npersistent:true\n\ng\0',
  'SEND\ndestination:b\nAMQ_SCHEDULED_DELAY:5\nAMQ_SCHEDULED_PERIOD:9\nAMQ_SCHEDULED_REPEAT:3\n\ns\0',
  'SEND\ndestination:/queue/a\nAMQ_SCHEDULED_CRON:*/5 1-3,7 * * 0\n\nc\0',
  'SUBSCRIBE\ndestination:/queue/a\nid:5\nbrowser:true\nselector:x is null\n\n\0',
  'SUBSCRIBE\ndestination:/topic/>\nid:6\nactivemq.noLocal:true\nactivemq.retroactive:true\n\n\0',
  'SUBSCRIBE\ndestination:b\nid:7\nack:client\nactivemq.exclusive:true\n\n\0',
  'SUBSCRIBE\ndestination:/temp-queue/r,/queue/Consumer.A.VirtualTopic.T\nid:8\n\n\0',
  '\n\r\n',
].map((text) => Buffer.from(text));

const BYTES = [0, 10, 13, 32, 44, 47, 58, 92, 0x25, 0xff, 0x31, 0x41];

/** Throws where an input crashes the adapter, or reads differently in pieces. */
export function fuzz(seed: number, rounds: number): void {
  const random = new SeededRandom(seed);
  const options = { defaultUser: 'guest', implicitConnect: seed % 2 === 0 };
  let broker = createBroker(options, { limits: LIMITS, seed });
  for (let round = 0; round < rounds; round++) {
    // Queues that inputs declared would pile up.
    if (round % 500 === 499) broker = createBroker(options, { limits: LIMITS, seed });
    const input = sequence(random);
    const client = broker.dial(false, random.below(4) === 0 ? 'activemq' : undefined);
    for (let at = 0; at < input.length; ) {
      const size = 1 + random.below(80);
      client.connection.receive(Buffer.from(input.subarray(at, at + size)));
      at += size;
    }
    converse(client, random);
    broker.world.clock.advance(random.below(40));
    client.connection.drained();
    client.lose();
    if (client.transport.held < 0) throw new Error(`released too often: ${printed(input)}`);
    const whole = outline([input]);
    const cut = random.below(input.length + 1);
    const parts = outline([input.subarray(0, cut), input.subarray(cut)]);
    if (whole !== parts) throw new Error(`reads differently when cut: ${printed(input)}`);
  }
}

/** Goes on as a client does: settles what it was given, in transactions or not, and asks for more. */
function converse(client: Client, random: SeededRandom): void {
  const given: string[] = [];
  for (let step = random.below(8); step > 0 && !client.ended; step--) {
    for (const { headers } of client.frames()) {
      const id = headers['ack'] ?? headers['message-id'];
      if (id !== undefined) given.push(id);
    }
    if (given.length === 0 || random.below(3) === 0) {
      client.raw(random.pick(FRAMES));
      continue;
    }
    const id = random.pick(given);
    const names = { id, 'message-id': id, subscription: String(random.below(9)) };
    const transaction = random.below(2) === 0 ? {} : { transaction: 't' };
    client.send(random.pick(['ACK', 'NACK']), { ...names, ...transaction });
  }
}

function sequence(random: SeededRandom): Buffer {
  const frames: Buffer[] = random.below(10) === 0 ? [] : [FRAMES[0] as Buffer];
  const count = 1 + random.below(6);
  for (let index = 0; index < count; index++) frames.push(Buffer.from(random.pick(FRAMES)));
  const input = Buffer.concat(frames);
  const mutations = random.below(3);
  const first = random.below(4) === 0 ? 0 : (FRAMES[0] as Buffer).length;
  for (let index = 0; index < mutations && input.length > first; index++) {
    mutate(input, first + random.below(input.length - first), random);
  }
  return input;
}

function mutate(input: Buffer, at: number, random: SeededRandom): void {
  switch (random.below(3)) {
    case 0:
      input[at] = random.pick(BYTES);
      return;
    case 1:
      input[at] = random.below(256);
      return;
    default: {
      const size = random.below(30);
      input.copyWithin(at, random.below(input.length), random.below(input.length) + size);
    }
  }
}

/** What the decoder makes of some input: its frames, and how it ends. */
function outline(pieces: readonly Buffer[]): string {
  const decoder = new Decoder({ ...DEFAULT_LIMITS, ...LIMITS });
  const found: string[] = [];
  try {
    for (const piece of pieces) {
      decoder.feed(Buffer.from(piece));
      for (let frame = decoder.next(); frame !== null; frame = decoder.next()) {
        const values: string[] = [];
        for (let at = 0; at < frame.headerCount; at++) values.push(frame.name(at), frame.value(at));
        found.push(JSON.stringify([frame.command, values, frame.body.toString('latin1')]));
      }
      decoder.keep();
    }
  } catch (error) {
    if (!(error instanceof StompError)) throw error;
    found.push('refused');
  }
  return found.join('\n');
}

function printed(input: Buffer): string {
  return JSON.stringify(input.toString('latin1'));
}
