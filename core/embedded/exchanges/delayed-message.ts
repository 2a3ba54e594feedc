/**
 * `x-delayed-message`, as RabbitMQ's plug-in has it: a message with the header `x-delay` (ms) waits
 * here first, and is then routed as an exchange of the type `x-delayed-type` does. Receivers see
 * the header negated, and a message that has waited does not wait again.
 */
import { BrokerError } from '../../errors.ts';
import type { Message } from '../../message.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router, WaitingPlace } from '../types.ts';
import { delayOf } from '../waiting-room.ts';
import { type Front, inFrontOf } from './inner.ts';

export const delayedMessage: ExchangeType = {
  name: 'x-delayed-message',
  create: (spec, context) => {
    const name = spec.arguments.get('x-delayed-type');
    const type = typeof name === 'string' ? context.exchangeTypes.find(name) : undefined;
    if (type === undefined || type === delayedMessage) {
      throw new BrokerError(
        'precondition-failed',
        "Invalid argument, 'x-delayed-type' must be an existing exchange type",
      );
    }
    const inner = type.create(spec, context);
    return inFrontOf(inner, new DelayingFront(inner, context.waitingRoom(spec)));
  },
};

class DelayingFront implements Front {
  readonly #inner: Router;
  readonly #room: WaitingPlace;

  constructor(inner: Router, room: WaitingPlace) {
    this.#inner = inner;
    this.#room = room;
  }

  route(message: Message, routingKey: string, matches: Matches): void {
    if (waits(message)) matches.addQueue(this.#room, null);
    else this.#inner.route(message, routingKey, matches);
  }

  passed(message: Message): void {
    if (!waits(message)) this.#inner.passed?.(message);
  }

  close(deleting: boolean): void {
    this.#room.close(deleting);
  }
}

function waits(message: Message): boolean {
  return message.trail?.delay === undefined && delayOf(message) > 0;
}
