/**
 * The interop matrix: client libraries send to each other through queues, and every trait of the
 * message arrives. Where an end cannot say something, the table says why, and that its place is empty.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, queue } from './clients/client.ts';
import { ENDS, type End, PAIRS } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';
import { TRAITS, type Trait } from './traits.ts';

let world: InteropGateway;
beforeAll(async () => {
  world = await startInterop(ENDS);
});
afterAll(() => world.stop());

interface Case {
  readonly title: string;
  readonly from: End;
  readonly to: End;
  readonly trait: Trait;
}

function casesOf(from: End, to: End): Case[] {
  return TRAITS.map((trait) => ({ title: titleOf(from, to, trait), from, to, trait }));
}

function titleOf(from: End, to: End, trait: Trait): string {
  const bare = from.bare ?? to.bare;
  if (bare !== null && trait.bareCheck !== null)
    return `nothing in place of ${trait.name}: ${bare}`;
  const garbled = trait.hard === true ? garbles(from, to) : null;
  return garbled === null ? trait.name : `the body beside ${trait.name}: ${garbled}`;
}

/** A library that sends and receives its own values alike still damages those of others. */
function garbles(from: End, to: End): string | null {
  return from.garbles ?? to.garbles;
}

async function cross({ from, to, trait }: Case): Promise<void> {
  const place = queue(world.unique('matrix'));
  const inbox = await world.receiver(to).consume(place);
  await world.sender(from).publish(place, trait.message);
  const received = await inbox.next();
  expect(received.body.toString('latin1')).toBe(bytesOf(trait.message.body).toString('latin1'));
  const bare = from.bare ?? to.bare;
  if (bare !== null && trait.bareCheck !== null) trait.bareCheck(received);
  else if (trait.hard !== true || garbles(from, to) === null) trait.check(received);
}

for (const { from, to } of PAIRS) {
  describe.concurrent(`${from.name} → ${to.name}`, () => {
    it.each(casesOf(from, to))('carries $title', cross);
  });
}
