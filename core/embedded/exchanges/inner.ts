import type { Router } from '../types.ts';

/** What a router in front of another one says of messages. */
export type Front = Required<Pick<Router, 'route' | 'passed' | 'close'>>;

/** A router whose bindings are those of `inner`, and which messages come to as `front` says. */
export function inFrontOf(inner: Router, front: Front): Router {
  return {
    add: (binding) => inner.add(binding),
    remove: (binding) => inner.remove(binding),
    route: (message, routingKey, matches) => front.route(message, routingKey, matches),
    get history() {
      return inner.history ?? [];
    },
    passed: (message) => front.passed(message),
    close: (deleting) => {
      front.close(deleting);
      inner.close?.(deleting);
    },
  };
}
