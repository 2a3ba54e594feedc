/** Every kind of message to every kind of address of somebody in every state (RFC 6121 8.5). */
import { type Play, play, type Step } from './play.ts';

const TYPES = ['', 'normal', 'chat', 'headline', 'groupchat', 'error'];
const ADDRESSES = ['bob@localhost', 'bob@localhost/one', 'bob@localhost/none'];
/** What reaches a person for want of the resource shows the person's address; Prosody leaves it. */
const REDIRECTED = 'the address is that of the person, whom it reached';

const AVAILABLE = 'bob/one: <presence/>';
/** How Bob is, by what he says before. */
const STATES: readonly (readonly [name: string, script: string])[] = [
  ['somebody without presence', 'bob/one: login'],
  ['somebody with a negative priority', 'bob/one: <presence><priority>-1</priority></presence>'],
  ['somebody available', AVAILABLE],
  [
    'somebody with two resources',
    `bob/one: <presence><priority>1</priority></presence>
     bob/two: <presence><priority>5</priority></presence>`,
  ],
  [
    'somebody who is less available elsewhere',
    `bob/one: <presence><priority>-1</priority></presence>
     bob/two: <presence><priority>0</priority></presence>`,
  ],
];

export const MESSAGE_PLAYS: readonly Play[] = STATES.map(([name, script]) => {
  const setting = play(name, `alice/a: <presence/>\n${script}`);
  const sends = TYPES.flatMap((type) =>
    ADDRESSES.flatMap((to, index): Step[] => {
      const redirected = to.endsWith('/none') && /^(|normal|chat)$/.test(type);
      // It would show in what waits, too.
      if (redirected && !script.includes('bob/two') && script !== AVAILABLE) return [];
      const id = `m${type}${index}`;
      const kind = type === '' ? '' : ` type='${type}'`;
      const error =
        type === 'error'
          ? "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
          : '<body>x</body>';
      const does = `<message to='${to}'${kind} id='${id}'>${error}</message>`;
      return [{ who: 'alice/a', does, ...(redirected ? { differs: REDIRECTED } : {}) }];
    }),
  );
  const after: Step = { who: 'bob/late', does: '<presence/>' };
  return { name: `messages to ${name}`, steps: [...setting.steps, ...sends, after] };
});
