/** Connections that the gateway opens itself. */
import { afterEach, describe, expect, it } from 'vitest';
import { RecordedConnection, RecordingGate } from './recording-gate.ts';
import { TestNetwork } from './test-network.ts';

const listening = new TestNetwork();
const dialling = new TestNetwork();
afterEach(() => Promise.all([listening.close(), dialling.close()]));

describe('dialling', () => {
  it('gives the adapter a connection as if it had come in, or says why there is none', async () => {
    const gate = new RecordingGate();
    const { port } = await listening.listen(gate);
    const target = { protocol: 'other', host: '127.0.0.1', port };
    const mine = await new Promise<RecordedConnection>((resolve, reject) => {
      dialling.network.dial(
        target,
        (transport, peer) => {
          const made = new RecordedConnection(transport, peer, { protocol: 'other' });
          resolve(made);
          return made;
        },
        reject,
      );
    });
    expect([mine.peer.protocol, mine.peer.listener]).toEqual([
      'other',
      `other://127.0.0.1:${port}`,
    ]);
    mine.transport.authenticated();
    mine.transport.output.text('hello');
    const theirs = await gate.connection();
    await theirs.until(() => theirs.received.toString() === 'hello');
    theirs.transport.destroy();
    expect(await mine.ended()).toBeNull();
    expect(dialling.meter.protocol('other').connectionsClosed).toBe(1);

    listening.network.stopAccepting();
    const refused = new Promise<Error>((resolve, reject) => {
      dialling.network.dial(target, () => reject(new Error('connected')) as never, resolve);
    });
    expect((await refused).message).toContain('ECONNREFUSED');
  });

  it('gives up on a host that does not answer', async () => {
    // An address for documentation (RFC 5737): nobody has it.
    const target = { protocol: 'other', host: '192.0.2.1', port: 9 };
    const refused = new Promise<Error>((resolve, reject) => {
      dialling.network.dial(target, () => reject(new Error('connected')) as never, resolve);
    });
    dialling.clock.advance(60_000);
    expect((await refused).message).toMatch(/does not answer|UNREACH/);
  });
});
