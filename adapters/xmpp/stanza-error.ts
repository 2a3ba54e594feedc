/** Stanza errors (RFC 6120 8.3), and the table from the broker's error codes to them. */
import { BrokerError, type ErrorCode } from '../../core/errors.ts';
import { childOf, Element, element, elementsOf, localName, namespaceOf } from './element.ts';
import { NS } from './namespaces.ts';

/** Defined conditions with the error type that RFC 6120 8.3.3 associates. */
const TYPES = {
  'bad-request': 'modify',
  conflict: 'cancel',
  'feature-not-implemented': 'cancel',
  forbidden: 'auth',
  gone: 'cancel',
  'internal-server-error': 'cancel',
  'item-not-found': 'cancel',
  'jid-malformed': 'modify',
  // RFC 6120 would have modify; rooms, XEP-0410 and 0191 have this one.
  'not-acceptable': 'cancel',
  'not-allowed': 'cancel',
  'not-authorized': 'auth',
  'policy-violation': 'modify',
  'recipient-unavailable': 'wait',
  'registration-required': 'auth',
  'remote-server-not-found': 'cancel',
  'remote-server-timeout': 'wait',
  'resource-constraint': 'wait',
  'service-unavailable': 'cancel',
  'unexpected-request': 'wait',
} as const;

export type Condition = keyof typeof TYPES;

const CONDITIONS: Readonly<Record<ErrorCode, Condition>> = {
  'not-found': 'item-not-found',
  'access-refused': 'forbidden',
  'precondition-failed': 'not-acceptable',
  'resource-locked': 'conflict',
  'not-allowed': 'not-allowed',
  'resource-exhausted': 'resource-constraint',
  unavailable: 'service-unavailable',
  'not-implemented': 'feature-not-implemented',
  internal: 'internal-server-error',
};

export function conditionOf(error: unknown): Condition {
  return error instanceof BrokerError ? CONDITIONS[error.code] : 'internal-server-error';
}

export interface ErrorDetail {
  readonly text?: string | undefined;
  /** An application-specific condition. */
  readonly specific?: Element | undefined;
}

/**
 * Whether the stanza may be answered with an error at all (RFC 6120 8.3.1: no errors about errors).
 */
export function isAnswerable(stanza: Element): boolean {
  const { type } = stanza.attrs;
  return type !== 'error' && !(localName(stanza) === 'iq' && type === 'result');
}

/** The error that answers `stanza`. */
export function errorReply(
  stanza: Element,
  condition: Condition,
  detail: ErrorDetail = {},
): Element {
  const reply = answer(stanza, 'error');
  reply.append(
    element(
      'error',
      { type: TYPES[condition] },
      element(condition, { xmlns: NS.STANZA_ERRORS }),
      detail.text === undefined ? null : element('text', { xmlns: NS.STANZA_ERRORS }, detail.text),
      detail.specific ?? null,
    ),
  );
  return reply;
}

/** The condition that an error stanza names; `undefined-condition` where it names none. */
export function conditionIn(stanza: Element): string {
  const error = childOf(stanza, 'error', '');
  const named = (error === undefined ? [] : elementsOf(error)).find(
    (child) => namespaceOf(child) === NS.STANZA_ERRORS && child.name !== 'text',
  );
  return named?.name ?? 'undefined-condition';
}

/** An iq result with what it carries. */
export function resultReply(request: Element, ...children: readonly Element[]): Element {
  const reply = answer(request, 'result');
  for (const child of children) reply.append(child);
  return reply;
}

/** An empty stanza of the same kind and id, back to where it came from. */
function answer(stanza: Element, type: string): Element {
  const { from, to, id } = stanza.attrs;
  const reply = new Element(stanza.name, { type });
  if (to !== undefined) reply.attrs.from = to;
  if (from !== undefined) reply.attrs.to = from;
  if (id !== undefined) reply.attrs.id = id;
  return reply;
}
