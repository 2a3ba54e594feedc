/** `npm run demo`: tells the story for a few seconds, prints what each side saw. Exits 1 if anything is missing. */
import { tell } from './story.ts';

const ROUNDS = 120;
const INTERVAL_MS = 20;
const ALARMS = 'alarms at the operator (AMQP → XMPP)';

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

say(
  'Rosetta MQ demo: MQTT sensors, AMQP workers, a STOMP dashboard, an XMPP operator, an MQTT device',
);
const { ledger, perWorker } = await tell(ROUNDS, INTERVAL_MS, (line) => say(`  ${line}`));

say('');
say(ledger.table);
say('');
const shares = [...perWorker].sort().map(([name, count]) => `${name} ${count}`);
say(`the workers shared the readings: ${shares.join(', ')}`);

const missing = ledger.missing;
if (ledger.seen(ALARMS) === 0) missing.push('not one alarm');
if (missing.length > 0) {
  say(`MISSING: ${missing.join('; ')}`);
  process.exitCode = 1;
} else {
  say('nothing is missing');
}
