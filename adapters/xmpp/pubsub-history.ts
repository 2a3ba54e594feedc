/**
 * Items of pubsub nodes that keep more than the last one (XEP-0060 `max_items`): a record each,
 *
 *     NODE "\n" NUMBER  →  { id, xml }
 *
 * The last item is the topic's retained message besides, for all protocols.
 */
import type { Clock } from '../../core/clock.ts';
import type { Table } from '../../core/engine.ts';
import { childrenOf, type Element, element, serialize } from './element.ts';
import { NS } from './namespaces.ts';
import type { PubsubNode } from './pubsub-node.ts';
import { pageElement, pageOf } from './result-set.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';

interface Kept {
  readonly key: string;
  readonly id: string;
  readonly bytes: number;
  /** 0: never. */
  readonly expiresAt: number;
}

interface StoredItem {
  readonly id: string;
  readonly xml: string;
  readonly expiresAt?: number;
}

const NUMBER_DIGITS = 15;

export class PubsubHistory {
  readonly #table: Table;
  readonly #bytesMax: number;
  readonly #clock: Clock;
  #bytes = 0;
  /** By node, oldest first. */
  readonly #kept = new Map<string, Kept[]>();
  #number = 0;

  /** `bytesMax`: of all nodes together. */
  constructor(table: Table, bytesMax: number, clock: Clock) {
    this.#table = table;
    this.#clock = clock;
    this.#bytesMax = bytesMax;
    const found: (readonly [string, Kept])[] = [];
    for (const [key, bytes] of table.entries()) {
      const line = key.lastIndexOf('\n');
      const { id, expiresAt = 0 } = JSON.parse(bytes.toString('utf8')) as StoredItem;
      found.push([key.slice(0, line), { key, id, bytes: bytes.length, expiresAt }]);
      this.#bytes += bytes.length;
      this.#number = Math.max(this.#number, Number(key.slice(line + 1)));
    }
    found.sort(([, one], [, other]) => (one.key < other.key ? -1 : 1));
    for (const [node, kept] of found) this.#of(node).push(kept);
  }

  /** Keeps an item; one of the same id is replaced, and the oldest go beyond what the node keeps. */
  add(node: PubsubNode, id: string, item: Element, expiresAt: number): void {
    this.remove(node, id);
    const key = `${node.name}\n${String(++this.#number).padStart(NUMBER_DIGITS, '0')}`;
    const record = Buffer.from(JSON.stringify({ id, xml: serialize(item), expiresAt }));
    const kept = this.#of(node.name);
    this.#table.set(key, record);
    this.#bytes += record.length;
    kept.push({ key, id, bytes: record.length, expiresAt });
    this.trim(node);
    while (this.#bytes > this.#bytesMax && kept.length > 0) this.#drop(kept.splice(0, 1));
  }

  ids(node: PubsubNode): string[] {
    return this.#fresh(node.name).map(({ id }) => id);
  }

  /**
   * What an items request asks for (XEP-0060 6.5): all, the last few, by id, or a page of them,
   * with where it stands. Null where the page begins at an item that is not there.
   */
  answer(node: PubsubNode, action: Element, set: Element | undefined): Element[] | null {
    const wanted = childrenOf(action, 'item', NS.PUBSUB).map((item) => item.attrs.id);
    const max = Number(action.attrs.max_items ?? Number.NaN);
    const kept = this.#fresh(node.name);
    let chosen =
      wanted.length > 0
        ? kept.filter(({ id }) => wanted.includes(id))
        : kept.slice(max > 0 ? -max : 0);
    const page =
      set === undefined
        ? null
        : pageOf(
            chosen.map(({ id }) => id),
            set,
          );
    if (set !== undefined && page === null) return null;
    const total = chosen.length;
    if (page !== null) chosen = chosen.slice(page.index, page.index + page.ids.length);
    const found: Element[] = [];
    for (const { key } of chosen) {
      const bytes = this.#table.get(key);
      if (bytes === null) continue;
      const { xml } = JSON.parse(bytes.toString('utf8')) as StoredItem;
      found.push(parseElement(xml, NO_PREFIXES));
    }
    const answer = element('items', { node: node.name }, ...found);
    return page === null ? [answer] : [answer, pageElement(page, total)];
  }

  /** False where there is no such item. */
  remove(node: PubsubNode, id: string): boolean {
    const kept = this.#of(node.name);
    const at = kept.findIndex((item) => item.id === id);
    if (at < 0) return false;
    this.#drop(kept.splice(at, 1));
    return true;
  }

  /** After the node was told to keep fewer. */
  trim(node: PubsubNode): void {
    const kept = this.#of(node.name);
    const most = keepsMany(node) ? node.config.maxItems : 0;
    this.#drop(kept.splice(0, Math.max(0, kept.length - most)));
  }

  clear(node: PubsubNode): void {
    this.#drop(this.#of(node.name));
    this.#kept.delete(node.name);
  }

  #drop(gone: readonly Kept[]): void {
    for (const { key, bytes } of gone) {
      this.#table.delete(key);
      this.#bytes -= bytes;
    }
  }

  /** Without what has expired. */
  #fresh(node: string): Kept[] {
    const kept = this.#of(node);
    const now = this.#clock.now();
    const old = kept.filter(({ expiresAt }) => expiresAt !== 0 && expiresAt <= now);
    if (old.length === 0) return kept;
    this.#drop(old);
    kept.splice(0, kept.length, ...kept.filter((each) => !old.includes(each)));
    return kept;
  }

  #of(node: string): Kept[] {
    let kept = this.#kept.get(node);
    if (kept === undefined) {
      kept = [];
      this.#kept.set(node, kept);
    }
    return kept;
  }
}

/** Whether the topic's retained message is not enough. */
export function keepsMany({ config }: PubsubNode): boolean {
  return config.persistItems && config.maxItems > 1;
}
