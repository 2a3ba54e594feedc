/** XEP-0004 data forms, as far as configuration needs them. */
import { childOf, childrenOf, type Element, element } from './element.ts';
import { NS } from './namespaces.ts';

export type FieldType = 'boolean' | 'text-single' | 'text-private' | 'list-single' | 'hidden';

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly label: string;
  readonly value: string;
  readonly options?: readonly string[];
}

export function form(kind: 'form' | 'result', formType: string, fields: readonly Field[]): Element {
  const made = element('x', { xmlns: NS.DATA, type: kind });
  made.append(
    fieldElement({ name: 'FORM_TYPE', type: 'hidden', label: '', value: formType }, true),
  );
  for (const field of fields) made.append(fieldElement(field, kind === 'form'));
  return made;
}

function fieldElement(field: Field, described: boolean): Element {
  const attributes =
    described || field.type === 'hidden'
      ? { var: field.name, type: field.type, ...(field.label === '' ? {} : { label: field.label }) }
      : { var: field.name };
  const options = described ? (field.options ?? []) : [];
  return element(
    'field',
    attributes,
    element('value', {}, ...(field.value === '' ? [] : [field.value])),
    ...options.map((option) => element('option', {}, element('value', {}, option))),
  );
}

/** Submitted values by field; null where there is no form that was filled in. */
export function submitted(parent: Element): ReadonlyMap<string, string> | 'cancel' | null {
  const filled = childOf(parent, 'x', NS.DATA);
  if (filled === undefined) return null;
  if (filled.attrs.type === 'cancel') return 'cancel';
  if (filled.attrs.type !== 'submit') return null;
  const values = new Map<string, string>();
  for (const field of childrenOf(filled, 'field', NS.DATA)) {
    const name = field.attrs.var;
    if (name !== undefined) values.set(name, childOf(field, 'value', NS.DATA)?.getText() ?? '');
  }
  return values;
}

/** XEP-0004 3.3: booleans are `1`, `0`, `true` or `false`. */
export function flag(value: string): boolean {
  return value === '1' || value === 'true';
}
