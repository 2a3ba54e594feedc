/** XEP-0004 data forms. */
import { childOf, childrenOf, type Element, element } from './element.ts';
import { NS } from './namespaces.ts';

export type FieldType =
  | 'boolean'
  | 'text-single'
  | 'text-private'
  | 'text-multi'
  | 'list-single'
  | 'list-multi'
  | 'jid-single'
  | 'jid-multi'
  | 'hidden';

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly label: string;
  /** Several for the `-multi` types. */
  readonly value: string | readonly string[];
  readonly options?: readonly string[];
  readonly required?: boolean;
}

/** What stands above the fields. */
export interface FormHead {
  readonly title?: string;
  readonly instructions?: string;
}

export function form(
  kind: 'form' | 'result',
  formType: string,
  fields: readonly Field[],
  { title, instructions }: FormHead = {},
): Element {
  const made = element(
    'x',
    { xmlns: NS.DATA, type: kind },
    title === undefined ? null : element('title', {}, title),
    instructions === undefined ? null : element('instructions', {}, instructions),
  );
  made.append(
    fieldElement({ name: 'FORM_TYPE', type: 'hidden', label: '', value: formType }, true),
  );
  for (const field of fields) made.append(fieldElement(field, kind === 'form'));
  return made;
}

/** Rows of text under columns (XEP-0004 3.4). */
export function table(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): Element {
  const reported = columns.map((name) =>
    element('field', { var: name, type: 'text-single', label: name }),
  );
  const items = rows.map((row) => {
    const cells = columns.map((name, index) =>
      element('field', { var: name }, element('value', {}, row[index] ?? '')),
    );
    return element('item', {}, ...cells);
  });
  return element(
    'x',
    { xmlns: NS.DATA, type: 'result' },
    element('title', {}, title),
    element('reported', {}, ...reported),
    ...items,
  );
}

function fieldElement(field: Field, described: boolean): Element {
  const { name, type, label, value, required } = field;
  const attributes =
    described || type === 'hidden'
      ? { var: name, type, ...(label === '' ? {} : { label }) }
      : { var: name };
  const values = typeof value === 'string' ? [value] : value;
  const options = described ? (field.options ?? []) : [];
  return element(
    'field',
    attributes,
    described && required === true ? element('required') : null,
    ...values.map((text) => element('value', {}, text)),
    ...options.map((option) => element('option', {}, element('value', {}, option))),
  );
}

/** Submitted values by field; null where there is no form that was filled in. */
export function submitted(parent: Element): ReadonlyMap<string, string> | 'cancel' | null {
  const filled = submittedLists(parent);
  if (filled === null || filled === 'cancel') return filled;
  return new Map(Array.from(filled, ([name, values]) => [name, values[0] ?? '']));
}

/** The same with all values of each field. */
export function submittedLists(
  parent: Element,
): ReadonlyMap<string, readonly string[]> | 'cancel' | null {
  const filled = childOf(parent, 'x', NS.DATA);
  if (filled === undefined) return null;
  if (filled.attrs.type === 'cancel') return 'cancel';
  if (filled.attrs.type !== 'submit') return null;
  const values = new Map<string, readonly string[]>();
  for (const field of childrenOf(filled, 'field', NS.DATA)) {
    const name = field.attrs.var;
    if (name === undefined) continue;
    values.set(
      name,
      childrenOf(field, 'value', NS.DATA).map((value) => value.getText()),
    );
  }
  return values;
}

/** XEP-0004 3.3: booleans are `1`, `0`, `true` or `false`. */
export function flag(value: string): boolean {
  return value === '1' || value === 'true';
}
