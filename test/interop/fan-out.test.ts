/** One publish from any protocol reaches consumers on all of them, with the same content. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { topic } from './clients/client.ts';
import { ENDS, PROTOCOL_ENDS } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';

let world: InteropGateway;
beforeAll(async () => {
  world = await startInterop(ENDS);
});
afterAll(() => world.stop());

describe.each(PROTOCOL_ENDS)('what $name publishes to a topic', (from) => {
  it('reaches every protocol, once and alike', async () => {
    const place = topic(world.unique('fan.out'));
    const inboxes = await Promise.all(ENDS.map((end) => world.receiver(end).consume(place)));
    const message = { body: '{"t":21.5}', contentType: 'application/json', headers: { unit: 'C' } };
    await world.sender(from).publish(place, { ...message, correlationId: 'c1', messageId: 'm1' });
    await world.sender(from).publish(place, { body: 'last' });
    for (const [index, inbox] of inboxes.entries()) {
      const end = ENDS[index];
      const first = await inbox.next();
      expect([end?.name, first.body.toString()]).toEqual([end?.name, message.body]);
      if (end?.bare === null) {
        expect(first.contentType).toBe('application/json');
        expect(first.headers).toMatchObject({ unit: 'C' });
        expect(first.correlationId?.toString()).toBe('c1');
        expect(first.messageId).toBe('m1');
      }
      expect((await inbox.next()).body.toString()).toBe('last');
      expect(inbox.waiting).toBe(0);
    }
  });
});
