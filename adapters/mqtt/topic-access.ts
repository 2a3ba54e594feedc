/**
 * Which topics a client may publish and subscribe to, where the configuration's `topic_permissions`
 * say so: filters in which `%c` stands for the client identifier and `%u` for the user. The first
 * rule for a user counts, and allows what it lists; without a rule everything is allowed. The
 * permissions of the vhost hold beside it.
 */
import type { TopicRule } from './options.ts';

export class TopicAccess {
  static readonly #everything = new TopicAccess(null, '', '');
  /** What a client may use; those without a rule share one answer. */
  static of(rules: readonly TopicRule[], clientId: string, user: string): TopicAccess {
    const rule = rules.find((candidate) => candidate.user.test(user));
    return rule === undefined ? TopicAccess.#everything : new TopicAccess(rule, clientId, user);
  }

  /** Levels of the filters; null: everything. */
  readonly #publish: readonly string[][] | null;
  readonly #subscribe: readonly string[][] | null;

  /** Null: no rule, everything is allowed. */
  constructor(rule: TopicRule | null, clientId: string, user: string) {
    const levels = (templates: readonly string[]): string[][] =>
      templates.flatMap((template) => {
        const filter = fillIn(template, clientId, user);
        return filter === null ? [] : [filter.split('/')];
      });
    this.#publish = rule === null ? null : levels(rule.publish);
    this.#subscribe = rule === null ? null : levels(rule.subscribe);
  }

  mayPublish(topic: string): boolean {
    return this.#publish === null || covered(this.#publish, topic.split('/'));
  }

  /** Whether every topic that `filter` matches is one that may be read. */
  maySubscribe(filter: string): boolean {
    if (this.#subscribe === null) return true;
    const levels = filter.split('/');
    return covered(this.#subscribe, levels[0] === '$share' ? levels.slice(2) : levels);
  }
}

/**
 * Puts names in for `%c` and `%u`. Null where a name has characters that would make another filter
 * of it: it gets nothing.
 */
export function fillIn(template: string, clientId: string, user: string): string | null {
  let usable = true;
  const filled = template.replace(/%[cu]/g, (variable) => {
    const value = variable === '%c' ? clientId : user;
    usable &&= value !== '' && !/[+#/]/.test(value);
    return value;
  });
  return usable ? filled : null;
}

function covered(filters: readonly string[][], asked: readonly string[]): boolean {
  return filters.some((filter) => covers(filter, asked));
}

/** Whether `filter` matches whatever `asked` matches, which may have wildcards itself. */
function covers(filter: readonly string[], asked: readonly string[]): boolean {
  // [MQTT-4.7.2-1]
  if (/^[+#]$/.test(filter[0] ?? '') && asked[0]?.startsWith('$')) return false;
  for (const [index, level] of filter.entries()) {
    if (level === '#') return true;
    const other = asked[index];
    if (other === undefined || other === '#') return false;
    if (level !== '+' && level !== other) return false;
  }
  return filter.length === asked.length;
}
