import { type DestinationStream, pino } from 'pino';

type Fields = Readonly<Record<string, unknown>>;

/** What the process has to say to its operator. `child` adds fields to every line. */
export interface Log {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
  child(fields: Fields): Log;
}

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** JSON lines on `destination` (standard error where none is given). */
export function createLog(level: LogLevel, destination: DestinationStream = process.stderr): Log {
  const formatters = { level: (label: string) => ({ level: label }) };
  const timestamp = pino.stdTimeFunctions.isoTime;
  return pino({ level, base: null, timestamp, formatters }, destination);
}

const nothing = (): void => {};

/** Says nothing. */
export const SILENT_LOG: Log = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => SILENT_LOG,
};
