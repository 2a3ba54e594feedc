/**
 * Plays: clients that act in turn, and after each act what all of them see. The same play runs
 * against any server.
 */
import { Actor } from './actor.ts';

/** `name resource` logs in; `name!` leaves without a word; else what `name` sends. */
export interface Play {
  readonly name: string;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly who: string;
  readonly does: string;
  /** Why this server answers otherwise than the oracle, on purpose. */
  readonly differs?: string;
}

/** `alice/one: <presence/>`; a user's resource logs in where it is named first. */
export function play(name: string, script: string): Play {
  const steps: Step[] = [];
  for (const line of script.split('\n')) {
    const act = /^\s*([a-z]+\/[a-z]+)(?:\s+\[(.*?)\])?: (.*)$/.exec(line);
    const last = steps.at(-1);
    if (act !== null) {
      const [, who = '', differs, does = ''] = act;
      steps.push({ who, does, ...(differs === undefined ? {} : { differs }) });
    } else if (last !== undefined && line.trim() !== '') {
      steps[steps.length - 1] = { ...last, does: `${last.does}${line.trim()}` };
    }
  }
  return { name, steps };
}

/** What each actor saw after each step. */
export async function perform(port: number, number: number, { steps }: Play): Promise<string[]> {
  const actors = new Map<string, Actor>();
  const transcript: string[] = [];
  for (const { who, does } of steps) {
    let actor = actors.get(who);
    if (actor === undefined) {
      actor = await Actor.open(port, number);
      actors.set(who, actor);
      const [user = '', resource = ''] = who.split('/');
      await actor.login(user, resource);
    }
    if (does === 'gone') {
      actor.close();
      actors.delete(who);
    } else if (does !== 'login') actor.send(does);
    if (actors.has(who)) await actor.settle();
    for (let round = 0; round < 2; round++) {
      for (const other of actors.values()) await other.settle();
    }
    const seen = [...actors].map(([name, other]) => [name, ordered(other.take())] as const);
    const lines = seen.flatMap(([name, stanzas]) => stanzas.map((text) => `${name} ← ${text}`));
    transcript.push(lines.join('\n'));
  }
  for (const actor of actors.values()) actor.close();
  return transcript;
}

/**
 * What comes from different places may come in any order; a room's order is part of its promise,
 * but that of the occupants whom a newcomer is shown.
 */
function ordered(stanzas: string[]): string[] {
  const isRoom = (text: string): boolean => text.includes('@rooms.localhost');
  const isOther = (text: string): boolean => /^<presence (?!.*status code="110")/.test(text);
  const inRoom = stanzas.filter(isRoom);
  const shown = inRoom.findIndex((text) => !isOther(text));
  const others = inRoom.splice(0, shown < 0 ? inRoom.length : shown);
  return [...others.sort(), ...inRoom, ...stanzas.filter((text) => !isRoom(text)).sort()];
}
