/** This machine's own telemetry, read live from /proc (or from the operating system where there is none). */
import { readFileSync } from 'node:fs';
import { freemem, loadavg, totalmem } from 'node:os';

export interface Reading {
  readonly sensor: string;
  readonly value: number;
  readonly unit: string;
}

export const SENSORS = ['load', 'memory', 'network'] as const;

/** One reading of every sensor. */
export function readSensors(): Reading[] {
  return [
    { sensor: 'load', value: load(), unit: 'processes' },
    { sensor: 'memory', value: memory(), unit: 'percent used' },
    { sensor: 'network', value: network(), unit: 'bytes' },
  ];
}

function load(): number {
  const text = contents('/proc/loadavg');
  return text === null ? (loadavg()[0] ?? 0) : Number(text.split(' ')[0]);
}

function memory(): number {
  const text = contents('/proc/meminfo') ?? '';
  const field = (name: string): number | null => {
    const found = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1];
    return found === undefined ? null : Number(found) * 1024;
  };
  const total = field('MemTotal') ?? totalmem();
  const available = field('MemAvailable') ?? freemem();
  return Math.round((1000 * (total - available)) / total) / 10;
}

/** Received and sent so far, over all interfaces: this grows with the demo's own traffic. */
function network(): number {
  const lines = (contents('/proc/net/dev') ?? '').split('\n').slice(2);
  let bytes = 0;
  for (const line of lines) {
    const numbers = line.split(':')[1]?.trim().split(/\s+/) ?? [];
    bytes += Number(numbers[0] ?? 0) + Number(numbers[8] ?? 0);
  }
  return bytes;
}

function contents(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
