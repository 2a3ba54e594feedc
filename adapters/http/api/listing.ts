/** Lists as RabbitMQ answers them: sorted, in pages, filtered by name, cut to some columns. */
import { reasonOf } from '../../../core/errors.ts';
import { type Answer, badRequest, type Call, found, Refusal } from './route.ts';

type Item = Readonly<Record<string, unknown>>;

const PAGE_SIZE_DEFAULT = 100;
const PAGE_SIZE_MAX = 500;
const FILTER_MAX = 255;

/** Without `page` in the query: the whole list. */
export function listed(call: Call, items: readonly Item[]): Answer {
  const { page, page_size, sort, sort_reverse } = call.query;
  const columns = columnsOf(call);
  if (page === undefined) return found(cut(sorted(items, sort, sort_reverse), columns));
  const number = positive('page', page);
  const size = page_size === undefined ? PAGE_SIZE_DEFAULT : positive('page_size', page_size);
  if (size > PAGE_SIZE_MAX) {
    throw badRequest(`page_size ${size} is more than the maximum of ${PAGE_SIZE_MAX}`);
  }
  const kept = sorted(filtered(call, items), sort, sort_reverse);
  const pages = Math.max(1, Math.ceil(kept.length / size));
  if (number > pages) {
    const reason = `Page out of range, page: ${number} page size: ${size}, len: ${kept.length}`;
    throw new Refusal(400, 'page_out_of_range', reason);
  }
  const shown = cut(kept.slice((number - 1) * size, number * size), columns);
  return found({
    filtered_count: kept.length,
    item_count: shown.length,
    items: shown,
    page: number,
    page_count: pages,
    page_size: size,
    total_count: items.length,
  });
}

/** One thing, with the columns that were asked for. */
export function shown(call: Call, item: Item): Answer {
  return found(cut([item], columnsOf(call))[0]);
}

function filtered(call: Call, items: readonly Item[]): readonly Item[] {
  const { name } = call.query;
  if (typeof name !== 'string' || name === '') return items;
  if (name.length > FILTER_MAX) throw badRequest(`name is longer than ${FILTER_MAX} characters`);
  const text = (item: Item): string => (typeof item['name'] === 'string' ? item['name'] : '');
  if (!call.flag('use_regex')) {
    const wanted = name.toLowerCase();
    return items.filter((item) => text(item).toLowerCase().includes(wanted));
  }
  let pattern: RegExp;
  try {
    pattern = new RegExp(name, 'iu');
  } catch (error) {
    throw badRequest(reasonOf(error));
  }
  return items.filter((item) => pattern.test(text(item)));
}

function sorted(items: readonly Item[], by: unknown, reverse: unknown): readonly Item[] {
  if (typeof by !== 'string') return reverse === 'true' ? [...items].reverse() : items;
  const order = reverse === 'true' ? -1 : 1;
  return [...items].sort((one, other) => order * compared(at(one, by), at(other, by)));
}

function compared(one: unknown, other: unknown): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other;
  const [left, right] = [String(one ?? ''), String(other ?? '')];
  return left < right ? -1 : left > right ? 1 : 0;
}

function columnsOf({ query }: Call): readonly string[] | null {
  return typeof query['columns'] === 'string' ? query['columns'].split(',') : null;
}

/** `messages_details.rate` is within `messages_details`. */
function at(item: Item, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (value, step) =>
        typeof value === 'object' && value !== null && Object.hasOwn(value, step)
          ? (value as Item)[step]
          : undefined,
      item,
    );
}

function cut(items: readonly Item[], columns: readonly string[] | null): readonly Item[] {
  if (columns === null) return items;
  return items.map((item) => {
    const kept: Record<string, unknown> = {};
    for (const column of columns) {
      const [first = '', ...rest] = column.split('.');
      const value = at(item, column);
      if (value !== undefined) kept[first] = rest.length === 0 ? value : nested(rest, value);
    }
    return kept;
  });
}

function nested(path: readonly string[], value: unknown): unknown {
  return path.reduceRight((inner, step) => ({ [step]: inner }), value);
}

function positive(name: string, value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : 0;
  if (number > 0) return number;
  throw badRequest(`${name}: expected a number of at least 1`);
}
