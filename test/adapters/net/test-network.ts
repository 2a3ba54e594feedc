import type { Gate } from '../../../adapters/adapter.ts';
import type { Listener } from '../../../adapters/net/listener.ts';
import { Network } from '../../../adapters/net/network.ts';
import type { ListenerConfig, TlsConfig } from '../../../core/config.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../core/limits.ts';
import type { Log } from '../../../core/log.ts';
import { Meter } from '../../../core/meter.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { tlsFile } from '../../support/tls.ts';

export const TLS: TlsConfig = { cert: tlsFile('server.pem'), key: tlsFile('server.key') };

export interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: { readonly reason?: unknown };
}

/** A log that keeps its lines. */
export function recordingLog(
  lines: Line[],
  inherited: Readonly<Record<string, unknown>> = {},
): Log {
  const say =
    (level: string) =>
    (fields: Readonly<Record<string, unknown>>, message: string): void => {
      lines.push({ level, message, fields: { ...inherited, ...fields } });
    };
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    child: (fields) => recordingLog(lines, { ...inherited, ...fields }),
  };
}

/** A network on this machine with a clock that stands still. */
export class TestNetwork {
  readonly clock = new ManualClock();
  readonly meter = new Meter();
  readonly lines: Line[] = [];
  readonly network: Network;

  constructor(limits: Partial<Limits> = {}, tls: TlsConfig | null = null) {
    this.network = new Network({
      clock: this.clock,
      log: recordingLog(this.lines),
      meter: this.meter,
      limits: { ...DEFAULT_LIMITS, ...limits },
      tls,
    });
  }

  listen(gate: Gate, config: Partial<ListenerConfig> = {}): Promise<Listener> {
    const entry = { protocol: 'test', host: '127.0.0.1', port: 0, tls: false, ...config };
    return this.network.listen(entry, 'listeners[0]', gate);
  }

  /** What the log said at `level` and above debug, as text. */
  said(level: string): string[] {
    return this.lines
      .filter((line) => line.level === level)
      .map((line) => `${line.message}: ${String(line.fields.reason ?? '')}`);
  }

  /** Ends it without waiting for a grace. */
  async close(): Promise<void> {
    const closed = this.network.close();
    this.clock.advance(60_000);
    await closed;
  }
}
