import type { Transport } from '../../adapters/adapter.ts';
import { Output } from '../../adapters/output.ts';

/** A transport without a network: what the adapter wrote is read with `sent()`. */
export class PipeTransport implements Transport {
  readonly output = new Output(() => {});
  congested = false;
  secure = false;
  startTls: (() => void) | null = null;
  certifiedUser: string | null = null;
  /** By name. */
  readonly bindings = new Map<string, Buffer>();
  readonly framed: boolean;
  held = 0;
  loggedIn = false;
  /** How the adapter ended it. */
  ended: 'end' | 'destroy' | null = null;
  /** What left in earlier cuts, one entry a WebSocket message. */
  readonly messages: Buffer[] = [];

  constructor(framed: boolean = false) {
    this.framed = framed;
  }

  channelBinding(name: string): Buffer | null {
    return this.bindings.get(name) ?? null;
  }

  cut(): void {
    if (this.framed) this.messages.push(Buffer.concat(this.output.take()));
  }

  hold(): void {
    this.held++;
  }

  release(): void {
    this.held--;
  }

  get holding(): boolean {
    return this.held > 0;
  }

  authenticated(): void {
    this.loggedIn = true;
  }

  end(): void {
    this.ended ??= 'end';
  }

  destroy(): void {
    this.ended ??= 'destroy';
  }

  /** Everything written since the last call. */
  sent(): Buffer {
    return Buffer.concat([...this.messages.splice(0), ...this.output.take()]);
  }
}
