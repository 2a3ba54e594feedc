/** Pages of a result (XEP-0059). */
import { childText, type Element, element } from './element.ts';
import { NS } from './namespaces.ts';

const PAGE = 50;
const PAGE_MAX = 250;

export interface Page {
  readonly ids: readonly string[];
  readonly index: number;
  readonly complete: boolean;
}

/** XEP-0059 2: forward after an id, or backward before one; null where it is not known. */
export function pageOf(all: readonly string[], set: Element | undefined): Page | null {
  const said = set === undefined ? null : childText(set, 'max', NS.RESULT_SET);
  const max = said !== null && /^\d{1,9}$/.test(said) ? Math.min(Number(said), PAGE_MAX) : PAGE;
  const after = set === undefined ? null : childText(set, 'after', NS.RESULT_SET);
  const before = set === undefined ? null : childText(set, 'before', NS.RESULT_SET);
  const at = (id: string): number => all.indexOf(id);
  if (before !== null) {
    const end = before === '' ? all.length : at(before);
    if (end < 0) return null;
    const index = Math.max(0, end - max);
    return { ids: all.slice(index, end), index, complete: index === 0 };
  }
  const start = after === null || after === '' ? 0 : at(after) + 1;
  if (start === 0 && after !== null && after !== '') return null;
  const ids = all.slice(start, start + max);
  return { ids, index: start, complete: start + ids.length >= all.length };
}

/** Where a page stands among `count` results. */
export function pageElement({ ids, index }: Page, count: number): Element {
  const [first] = ids;
  return element(
    'set',
    { xmlns: NS.RESULT_SET },
    first === undefined ? null : element('first', { index: String(index) }, first),
    first === undefined ? null : element('last', {}, ids.at(-1) ?? ''),
    element('count', {}, String(count)),
  );
}
