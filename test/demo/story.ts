/**
 * One gateway, four protocols, one story on this machine's own telemetry:
 *
 *     sensors ──MQTT──▶ amq.topic ──AMQP──▶ workers ──AMQP──▶ dashboard (STOMP)
 *                                              └─ threshold ─▶ operator (XMPP)
 *     operator ──XMPP──▶ command queue ──MQTT──▶ device ──response topic──▶ operator
 */
import type { ConfigFile } from '../../core/config.ts';
import { SILENT_LOG } from '../../core/log.ts';
import { Gateway } from '../../main.ts';
import { Ledger } from './ledger.ts';
import {
  type Close,
  type Place,
  startDashboard,
  startDevice,
  startOperator,
  startSensors,
  startWorker,
} from './sides.ts';
import { type Reading, readSensors, SENSORS } from './telemetry.ts';

const ALL = { '/': { configure: '.*', write: '.*', read: '.*' } };
const PATIENCE_MS = 10_000;

const CONFIG: ConfigFile = {
  store: 'memory',
  listeners: ['amqp', 'mqtt', 'stomp', 'xmpp'].map((protocol) => ({ protocol, port: 0 })),
  users: [
    { name: 'guest', password: 'guest', permissions: ALL },
    { name: 'operator', password: 'operator', permissions: ALL },
  ],
};

export interface Outcome {
  readonly ledger: Ledger;
  readonly perWorker: ReadonlyMap<string, number>;
}

/** Reads every sensor `rounds` times, `intervalMs` apart. */
export async function tell(
  rounds: number,
  intervalMs: number,
  say: (line: string) => void,
): Promise<Outcome> {
  const gateway = new Gateway(CONFIG, { log: SILENT_LOG });
  await gateway.start();
  const ledger = new Ledger();
  const place: Place = { port: (protocol) => gateway.port(protocol), ledger, say };
  const perWorker = new Map<string, number>();
  const closes: Close[] = [];
  try {
    const isAlarming = threshold();
    closes.push(await startOperator(place), await startDevice(place));
    const counted = ({ worker }: { readonly worker: string }): void => {
      perWorker.set(worker, (perWorker.get(worker) ?? 0) + 1);
    };
    closes.push(await startDashboard(place, counted));
    for (const name of ['worker-1', 'worker-2', 'worker-3']) {
      closes.push(await startWorker(place, name, isAlarming));
    }
    const sensors = await startSensors(place);
    closes.push(sensors.close);
    ledger.expect('readings at a worker (MQTT → AMQP)', rounds * SENSORS.length);
    ledger.expect('results on the dashboard (AMQP → STOMP)', rounds * SENSORS.length);
    for (let round = 0; round < rounds; round++) {
      for (const reading of readSensors()) await sensors.publish(reading);
      if (intervalMs > 0) await new Promise((resolve) => setTimeout(resolve, intervalMs));
    }
    await ledger.complete(PATIENCE_MS);
  } finally {
    await Promise.allSettled(closes.map((close) => close()));
    await gateway.stop();
  }
  return { ledger, perWorker };
}

/**
 * Alarms once per sensor, when it passes its first reading. The network's counters grow with the demo's
 * own traffic, so at least that one does.
 */
function threshold(): (reading: Reading) => boolean {
  const first = new Map<string, number>();
  const alarmed = new Set<string>();
  return ({ sensor, value }) => {
    const limit = first.get(sensor);
    if (limit === undefined) first.set(sensor, value);
    if (limit === undefined || value <= limit || alarmed.has(sensor)) return false;
    alarmed.add(sensor);
    return true;
  };
}
