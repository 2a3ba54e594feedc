import { expect, it } from 'vitest';
import { tell } from './story.ts';

it('brings every reading, result, alarm, command and answer across', async () => {
  const said: string[] = [];
  const { ledger, perWorker } = await tell(10, 0, (line) => said.push(line));
  expect(ledger.missing).toEqual([]);
  expect(ledger.seen('readings at a worker (MQTT → AMQP)')).toBe(30);
  expect(ledger.seen('results on the dashboard (AMQP → STOMP)')).toBe(30);
  const alarms = ledger.seen('alarms at the operator (AMQP → XMPP)');
  expect(alarms).toBeGreaterThanOrEqual(1);
  expect(ledger.seen('commands at the device (XMPP → MQTT)')).toBe(alarms);
  expect(ledger.seen('answers at the operator (MQTT → XMPP)')).toBe(alarms);
  expect([...perWorker.keys()].sort()).toEqual(['worker-1', 'worker-2', 'worker-3']);
  expect(said).toHaveLength(2 * alarms + alarms);
});
