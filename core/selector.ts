/**
 * Message selectors: the subset of SQL-92 that JMS defines (JMS 2.0, 3.8.1), read once and
 * evaluated for each message, with SQL's three-valued logic: what compares with something that is
 * missing is unknown, and only true selects.
 *
 * Identifiers are header names, first; then JMS's own names for properties (JMSType, JMSPriority,
 * JMSDeliveryMode, JMSCorrelationID, JMSMessageID, JMSTimestamp, JMSExpiration, JMSReplyTo,
 * JMSDestination), and the neutral properties' names (`content-type`, which needs double quotes).
 * Headers that came as text compare as numbers or booleans where the other side is one: the
 * protocols of text have no other way to say them.
 */
import { addressToReplyKey } from './address.ts';
import { plain } from './envelope.ts';
import { BrokerError } from './errors.ts';
import { header, type Message } from './message.ts';

/** A value of the language; null is unknown. */
type Value = string | number | boolean | null;
type Expression = (message: Message) => Value;

const TEXT_MAX = 8192;
const DEPTH_MAX = 100;
const TOKENS_MAX = 2000;

export class Selector {
  readonly text: string;
  readonly #condition: Expression;

  constructor(text: string, condition: Expression) {
    this.text = text;
    this.#condition = condition;
  }

  /** Whether the condition is true, neither false nor unknown. */
  matches(message: Message): boolean {
    return booleanOf(this.#condition(message)) === true;
  }
}

/** Reads a selector. Throws `precondition-failed` with the place of the mistake. */
export function parseSelector(text: string): Selector {
  if (text.length > TEXT_MAX) throw mistake('it is too long');
  return new Selector(text, new Parser(tokens(text)).parse());
}

interface Token {
  readonly kind: 'name' | 'quoted' | 'text' | 'number' | 'sign' | 'end';
  readonly text: string;
  readonly at: number;
}

const TOKEN = new RegExp(
  [
    /\s+/,
    /(?<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[dDfFlL]?)/,
    /(?<name>[A-Za-z_$][\w$.]*)/,
    /"(?<quoted>[^"]+)"/,
    /'(?<text>(?:[^']|'')*)'/,
    /(?<sign><>|!=|<=|>=|[=<>()+\-*/,])/,
  ]
    .map((part) => part.source)
    .join('|'),
  'y',
);

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw mistake(`unexpected '${text[at]}' at ${at + 1}`);
    if (found.length >= TOKENS_MAX) throw mistake('it is too long');
    for (const kind of ['number', 'name', 'quoted', 'text', 'sign'] as const) {
      const part = match.groups?.[kind];
      if (part !== undefined) found.push({ kind, text: part, at });
    }
  }
  found.push({ kind: 'end', text: '', at: text.length });
  return found;
}

const WORDS = /^(and|or|not|between|in|like|escape|is|null|true|false)$/i;

/**
 *   condition  := and (OR and)*            and := not (AND not)*        not := NOT not | predicate
 *   predicate  := sum [comparison sum | [NOT] (BETWEEN | IN | LIKE) … | IS [NOT] NULL]
 *   sum        := product (± product)*     product := unary (×÷ unary)* unary := ± unary | primary
 */
class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  parse(): Expression {
    const condition = this.#condition();
    if (this.#token.kind !== 'end') throw this.#unexpected();
    return condition;
  }

  get #token(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', text: '', at: 0 };
  }

  #condition(): Expression {
    if (++this.#depth > DEPTH_MAX) throw mistake('it is nested too deeply');
    let left = this.#conjunction();
    while (this.#word('or')) left = or(left, this.#conjunction());
    this.#depth--;
    return left;
  }

  #conjunction(): Expression {
    let left = this.#negation();
    while (this.#word('and')) left = and(left, this.#negation());
    return left;
  }

  #negation(): Expression {
    let negated = false;
    while (this.#word('not')) negated = !negated;
    const operand = this.#predicate();
    return negated ? not(operand) : operand;
  }

  #predicate(): Expression {
    const left = this.#sum();
    for (const sign of ['=', '<>', '!=', '<=', '>=', '<', '>']) {
      if (this.#sign(sign)) return comparison(sign, left, this.#sum());
    }
    if (this.#word('is')) {
      const negated = this.#word('not');
      this.#expectWord('null');
      return (message) => (left(message) === null) !== negated;
    }
    const negated = this.#word('not');
    const tail = this.#range(left) ?? this.#list(left) ?? this.#pattern(left);
    if (tail !== null) return negated ? not(tail) : tail;
    if (negated) throw this.#unexpected();
    return left;
  }

  #range(left: Expression): Expression | null {
    if (!this.#word('between')) return null;
    const low = this.#sum();
    this.#expectWord('and');
    return and(comparison('>=', left, low), comparison('<=', left, this.#sum()));
  }

  #list(left: Expression): Expression | null {
    if (!this.#word('in')) return null;
    this.#expectSign('(');
    const options: Expression[] = [];
    do {
      options.push(comparison('=', left, this.#sum()));
    } while (this.#sign(','));
    this.#expectSign(')');
    return options.reduce(or);
  }

  #pattern(left: Expression): Expression | null {
    if (!this.#word('like')) return null;
    const pattern = this.#literal();
    const escaping = this.#word('escape') ? this.#literal() : null;
    if (escaping !== null && [...escaping].length !== 1)
      throw mistake('ESCAPE takes one character');
    const matches = likeMatcher(pattern, escaping);
    return (message) => {
      const value = left(message);
      return value === null ? null : typeof value === 'string' && matches(value);
    };
  }

  #sum(): Expression {
    let left = this.#product();
    for (;;) {
      if (this.#sign('+')) left = arithmetic(left, this.#product(), (a, b) => a + b);
      else if (this.#sign('-')) left = arithmetic(left, this.#product(), (a, b) => a - b);
      else return left;
    }
  }

  #product(): Expression {
    let left = this.#unary();
    for (;;) {
      if (this.#sign('*')) left = arithmetic(left, this.#unary(), (a, b) => a * b);
      else if (this.#sign('/')) left = arithmetic(left, this.#unary(), (a, b) => a / b);
      else return left;
    }
  }

  #unary(): Expression {
    let sign = 0;
    for (;;) {
      if (this.#sign('-')) sign = sign === 0 ? -1 : -sign;
      else if (this.#sign('+')) sign = sign === 0 ? 1 : sign;
      else break;
    }
    const operand = this.#primary();
    if (sign === 0) return operand;
    return arithmetic(
      operand,
      () => sign,
      (a, b) => a * b,
    );
  }

  #primary(): Expression {
    const token = this.#token;
    if (this.#sign('(')) {
      const inner = this.#condition();
      this.#expectSign(')');
      return inner;
    }
    this.#next++;
    switch (token.kind) {
      case 'number':
        return constant(numberFrom(token.text));
      case 'text':
        return constant(token.text.replaceAll("''", "'"));
      case 'quoted':
        return property(token.text);
      case 'name':
        if (/^(true|false)$/i.test(token.text)) return constant(/^true$/i.test(token.text));
        if (/^null$/i.test(token.text)) return constant(null);
        if (!WORDS.test(token.text)) return property(token.text);
        break;
      default:
    }
    this.#next--;
    throw this.#unexpected();
  }

  #literal(): string {
    const token = this.#token;
    if (token.kind !== 'text') throw this.#unexpected();
    this.#next++;
    return token.text.replaceAll("''", "'");
  }

  #word(word: string): boolean {
    const token = this.#token;
    if (token.kind !== 'name' || token.text.toLowerCase() !== word) return false;
    this.#next++;
    return true;
  }

  #sign(sign: string): boolean {
    const token = this.#token;
    if (token.kind !== 'sign' || token.text !== sign) return false;
    this.#next++;
    return true;
  }

  #expectWord(word: string): void {
    if (!this.#word(word)) throw this.#unexpected();
  }

  #expectSign(sign: string): void {
    if (!this.#sign(sign)) throw this.#unexpected();
  }

  #unexpected(): BrokerError {
    const { kind, text, at } = this.#token;
    return mistake(kind === 'end' ? 'it ends too early' : `unexpected '${text}' at ${at + 1}`);
  }
}

function mistake(reason: string): BrokerError {
  return new BrokerError('precondition-failed', `the selector cannot be read: ${reason}`);
}

function constant(value: Value): Expression {
  return () => value;
}

function numberFrom(text: string): number {
  return Number(/^0[xX]/.test(text) ? text : text.replace(/[dDfFlL]$/, ''));
}

function and(left: Expression, right: Expression): Expression {
  return (message) => {
    const a = booleanOf(left(message));
    if (a === false) return false;
    const b = booleanOf(right(message));
    return b === false ? false : a === null || b === null ? null : true;
  };
}

function or(left: Expression, right: Expression): Expression {
  return (message) => {
    const a = booleanOf(left(message));
    if (a === true) return true;
    const b = booleanOf(right(message));
    return b === true ? true : a === null || b === null ? null : false;
  };
}

function not(operand: Expression): Expression {
  return (message) => {
    const value = booleanOf(operand(message));
    return value === null ? null : !value;
  };
}

function arithmetic(
  left: Expression,
  right: Expression,
  operate: (a: number, b: number) => number,
): Expression {
  return (message) => {
    const a = numberOf(left(message));
    const b = numberOf(right(message));
    return a === null || b === null ? null : operate(a, b);
  };
}

/**
 * Values of different kinds are not equal, and in no order (JMS 2.0, 3.8.1.1: false, not an
 * error).
 */
function comparison(sign: string, left: Expression, right: Expression): Expression {
  return (message) => {
    const a = left(message);
    const b = right(message);
    if (a === null || b === null) return null;
    const [x, y] = alike(a, b);
    if (typeof x !== typeof y) return sign === '<>' || sign === '!=';
    switch (sign) {
      case '=':
        return x === y;
      case '<>':
      case '!=':
        return x !== y;
      case '<':
        return x < y;
      case '>':
        return x > y;
      case '<=':
        return x <= y;
      default:
        return x >= y;
    }
  };
}

type Known = string | number | boolean;

/** Text beside a number or a boolean is read as one, where it can be. */
function alike(a: Known, b: Known): [Known, Known] {
  if (typeof a === 'string' && typeof b !== 'string') return [readAs(a, b), b];
  if (typeof b === 'string' && typeof a !== 'string') return [a, readAs(b, a)];
  return [a, b];
}

function readAs(text: string, other: number | boolean): Known {
  const value = typeof other === 'number' ? numberOf(text) : booleanOf(text);
  return value ?? text;
}

function numberOf(value: Value): number | null {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value.trim() === '') return null;
  const number = Number(value);
  return Number.isNaN(number) ? null : number;
}

function booleanOf(value: Value): boolean | null {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return null;
  return /^true$/i.test(value) ? true : /^false$/i.test(value) ? false : null;
}

/**
 * `%` any number of characters, `_` one, case-sensitive. Backtracks to the last `%` only, so that
 * no pattern takes more than pattern × text steps.
 */
function likeMatcher(pattern: string, escaping: string | null): (text: string) => boolean {
  const parts: { readonly any: boolean; readonly one: boolean; readonly character: string }[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] ?? '';
    if (character === escaping) {
      parts.push({ any: false, one: false, character: characters[++at] ?? '' });
    } else parts.push({ any: character === '%', one: character === '_', character });
  }
  return (text) => {
    const letters = [...text];
    let at = 0;
    let part = 0;
    let star = -1;
    let resume = 0;
    while (at < letters.length) {
      const wanted = parts[part];
      if (wanted?.any === true) {
        star = part++;
        resume = at;
      } else if (wanted !== undefined && (wanted.one || wanted.character === letters[at])) {
        part++;
        at++;
      } else if (star >= 0) {
        part = star + 1;
        at = ++resume;
      } else return false;
    }
    while (parts[part]?.any === true) part++;
    return part === parts.length;
  };
}

/** What an identifier stands for in a message. */
function property(name: string): Expression {
  const standard = STANDARD[name];
  return (message) => {
    const value = header(message.properties.headers, name);
    if (value === undefined) return standard === undefined ? null : (standard(message) ?? null);
    const bare = plain(value);
    if (typeof bare === 'bigint') return Number(bare);
    return typeof bare === 'string' || typeof bare === 'number' || typeof bare === 'boolean'
      ? bare
      : null;
  };
}

type Reader = (message: Message) => Value | undefined;

const correlationId: Reader = ({ properties }) =>
  typeof properties.correlationId === 'string' ? properties.correlationId : undefined;
const replyTo: Reader = ({ properties }) =>
  properties.replyTo === undefined ? undefined : addressToReplyKey(properties.replyTo);
const timestampMs: Reader = ({ properties, receivedAt }) =>
  properties.timestamp === undefined ? receivedAt : properties.timestamp * 1000;

const STANDARD: Readonly<Record<string, Reader>> = Object.assign(Object.create(null), {
  JMSType: ({ properties }) => properties.type,
  JMSPriority: (message) => message.priority,
  JMSDeliveryMode: (message) => (message.durable ? 'PERSISTENT' : 'NON_PERSISTENT'),
  JMSCorrelationID: correlationId,
  JMSMessageID: ({ properties }) => properties.messageId,
  JMSTimestamp: timestampMs,
  JMSExpiration: (message) => message.expiresAt,
  JMSReplyTo: replyTo,
  JMSDestination: (message) => message.routingKey,
  JMSXUserID: ({ properties }) => properties.userId,
  type: ({ properties }) => properties.type,
  priority: (message) => message.priority,
  persistent: (message) => message.durable,
  timestamp: ({ properties }) => properties.timestamp,
  'content-type': ({ properties }) => properties.contentType,
  'content-encoding': ({ properties }) => properties.contentEncoding,
  'correlation-id': correlationId,
  'reply-to': replyTo,
  'amqp-message-id': ({ properties }) => properties.messageId,
  'user-id': ({ properties }) => properties.userId,
  'app-id': ({ properties }) => properties.appId,
} satisfies Record<string, Reader>);
