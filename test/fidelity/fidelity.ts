/**
 * Measures what crosses between protocols and writes the tables of docs/fidelity.md:
 *
 *     npm run fidelity -- --seed 7 --rounds 20      the gateway; ends with code 1 where anything is lost
 *     npm run fidelity -- --peer-port amqp=5672,mqtt=1883,stomp=61613 --peer 'RabbitMQ 3.10.8'
 *                                                   another broker (guest:guest), in the same way
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Protocol } from '../interop/clients/client.ts';
import { AMQP, MORE_ENDS, MQTT5, STOMPIT } from '../interop/clients/ends.ts';
import { ownGround, PeerGround } from './ground.ts';
import { type Cell, ENDS, measure } from './report.ts';
import { losses, Mark, peerTable, table, withText } from './table.ts';
import { TRAITS, type Trait } from './traits.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '10' },
    peer: { type: 'string', default: 'the peer' },
    'peer-port': { type: 'string' },
    'peer-mqtt': { type: 'string', default: '3.1.1' },
  },
});
const [seed, rounds] = [Number(values.seed), Number(values.rounds)];
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(rounds)) {
  throw new Error('--seed and --rounds are integers');
}

const PAGE = 'docs/fidelity.md';

function write(mark: string, text: string): void {
  writeFileSync(PAGE, withText(readFileSync(PAGE, 'utf8'), mark, text));
  process.stdout.write(`${text}\n`);
}

async function own(): Promise<readonly Cell[]> {
  const cells = await measure(await ownGround(ENDS), seed, rounds);
  write(Mark.OWN, table(cells));
  return cells;
}

async function ofPeer(given: string): Promise<readonly Cell[]> {
  const ports = given.split(',').map((part): [string, number] => {
    const [name = '', port] = part.split('=');
    return [name, Number(port)];
  });
  const mqtt = [MQTT5, ...MORE_ENDS].find(({ name }) =>
    name.startsWith(`MQTT ${values['peer-mqtt']} (`),
  );
  if (mqtt === undefined) throw new Error('--peer-mqtt is 3.1.1 or 5');
  const ends = [AMQP, mqtt, STOMPIT];
  const spec = { ends, ports: new Map(ports), user: 'guest', password: 'guest' };
  // The others are of our own formats, and not of what clients see.
  const traits = TRAITS.filter(({ means }) => means !== 'codecs');
  // stompit emits an error of its connection where nobody can listen; what it lost is in the table.
  process.on('uncaughtException', () => {});
  const all = await measure(new PeerGround(spec), seed, rounds, traits);
  const cells = all.filter(({ trait, from }) => !isOurs(trait, from));
  const kept = cells.length - losses(cells).length;
  const sum = `${values.peer} keeps ${kept} of ${cells.length} cells.`;
  write(Mark.PEER, `${sum}\n\n${peerTable(ends, traits, cells)}`);
  return cells;
}

/** Written in a way that only the gateway documents: no other broker is to know it. */
function isOurs({ name, means }: Trait, from: Protocol): boolean {
  if (means === 'typed headers') return from !== 'amqp';
  return name === 'correlation id, bytes' && from !== 'mqtt';
}

const peer = values['peer-port'];
const cells = await (peer === undefined ? own() : ofPeer(peer));
const lost = losses(cells);
for (const line of lost) process.stdout.write(`LOST ${line}\n`);
process.stdout.write(`${cells.length} cells of ${rounds} messages, ${lost.length} lost\n`);
process.exit(lost.length === 0 || peer !== undefined ? 0 : 1);
