import type { Message } from '../../message.ts';
import type { Random } from '../../random.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

/** `x-random`: to one of the bindings, drawn anew for each message, whatever the keys. */
export const random: ExchangeType = {
  name: 'x-random',
  create: (_spec, context) => new RandomRouter(context.random),
};

const DRAW_BYTES = 6;

class RandomRouter implements Router {
  readonly #bindings: Binding[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  add(binding: Binding): void {
    this.#bindings.push(binding);
  }

  remove(binding: Binding): void {
    const at = this.#bindings.indexOf(binding);
    if (at !== -1) this.#bindings.splice(at, 1);
  }

  route(_message: Message, _routingKey: string, matches: Matches): void {
    const count = this.#bindings.length;
    if (count === 0) return;
    const draw = this.#random.bytes(DRAW_BYTES).readUIntBE(0, DRAW_BYTES);
    const drawn = this.#bindings[draw % count];
    if (drawn !== undefined) matches.add(drawn);
  }
}
