/** The same plays against Prosody and this gateway: what a client sees must not differ. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { MESSAGE_PLAYS } from './oracle/message-plays.ts';
import { perform } from './oracle/play.ts';
import { PLAYS as ORDINARY } from './oracle/plays.ts';
import { type Prosody, prosodyInstalled, startProsody } from './oracle/prosody.ts';

if (!prosodyInstalled) console.warn('SKIPPED: prosody is not installed');

const PLAYS = [...ORDINARY, ...MESSAGE_PLAYS];
const PEOPLE = ['alice', 'bob', 'carol'];
const users = PLAYS.flatMap((_, play) => PEOPLE.map((name) => `${name}${play}`));

describe.skipIf(!prosodyInstalled)('plays that Prosody has too', () => {
  let prosody: Prosody;
  let gateway: Gateway;
  beforeAll(async () => {
    prosody = await startProsody(users);
    const permissions = { '/': { configure: '.*', write: '.*', read: '.*' } };
    gateway = await startGateway({
      users: users.map((name) => ({ name, password: 'secret', permissions })),
    });
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    await prosody.stop();
  });

  test.each(PLAYS.map((play, index) => [play.name, index, play] as const))(
    '%s',
    async (_, index, play) => {
      const [ours, theirs] = [
        await perform(gateway.port('xmpp'), index, play),
        await perform(prosody.clients, index, play),
      ];
      const compared = (seen: readonly string[]): string[] =>
        play.steps.map(
          ({ who, does, differs }, step) =>
            `${who} → ${does}\n${differs === undefined ? seen[step] : differs}`,
        );
      expect(compared(ours)).toEqual(compared(theirs));
    },
    30_000,
  );
});
