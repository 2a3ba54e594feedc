/** Questions to an archive (XEP-0313 4), a page at a time (XEP-0059). */
import type { Archives, Filter } from './archive.ts';
import { childOf, childrenOf, type Element, element, localName, serialize } from './element.ts';
import type { Entity } from './entity.ts';
import { parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import { pageElement, pageOf } from './result-set.ts';
import { errorReply, resultReply } from './stanza-error.ts';
import { delayAt, wireOf } from './wire.ts';

const FIELDS = /^(FORM_TYPE|with|start|end|after-id|before-id|ids)$/;

/** The answer to `iq`, after the messages that it asks for were sent. */
export function archiveAnswer(
  archives: Archives,
  owner: string,
  sender: Entity,
  iq: Element,
  payload: Element,
): Element {
  if (localName(payload) === 'metadata') return metadata(archives, owner, iq);
  if (localName(payload) === 'prefs') return preferences(iq, payload);
  if (localName(payload) !== 'query') return errorReply(iq, 'feature-not-implemented');
  if (iq.attrs.type === 'get') {
    return resultReply(iq, element('query', { xmlns: NS.ARCHIVE }, form()));
  }
  const filter = filterOf(payload);
  if (filter === null) return errorReply(iq, 'bad-request');
  const found = archives.find(owner, filter);
  const page =
    found === null
      ? null
      : pageOf(
          found.map(({ id }) => id),
          childOf(payload, 'set', NS.RESULT_SET),
        );
  if (page === null || found === null) return errorReply(iq, 'item-not-found');
  const { queryid } = payload.attrs;
  // XEP-0313 4.3.3: the same page, its newest first.
  const flipped = childOf(payload, 'flip-page', NS.ARCHIVE) !== undefined;
  const order = flipped ? [...page.ids].reverse() : page.ids;
  for (const id of order) send(archives, owner, sender, iq, id, queryid);
  const set = pageElement(page, found.length);
  const attributes = { xmlns: NS.ARCHIVE, ...(page.complete ? { complete: 'true' } : {}) };
  return resultReply(iq, element('fin', attributes, set));
}

/** One message of an answer; it is no stanza that anybody stores again. */
function send(
  archives: Archives,
  owner: string,
  sender: Entity,
  iq: Element,
  id: string,
  queryid: string | undefined,
): void {
  const kept = archives.read(owner, id);
  if (kept === null) return;
  const query = queryid === undefined ? {} : { queryid };
  const result = serialize(element('result', { xmlns: NS.ARCHIVE, id, ...query }));
  const delay = serialize(delayAt(kept.at, undefined));
  const shell = element('message', { from: owner, to: iq.attrs.from ?? sender.jid.full });
  const [head] = wireOf(shell);
  sender.send(
    [
      `${head.slice(0, -2)}>${result.slice(0, -2)}>`,
      `<forwarded xmlns="${NS.FORWARD}">${delay}${kept.xml}</forwarded></result></message>`,
    ],
    null,
  );
}

function filterOf(query: Element): Filter | null {
  const filled = childOf(query, 'x', NS.DATA);
  const values = new Map<string, string[]>();
  for (const field of filled === undefined ? [] : childrenOf(filled, 'field', NS.DATA)) {
    const name = field.attrs.var ?? '';
    // XEP-0313 4.1: a filter that is not understood is not left out in silence.
    if (!FIELDS.test(name)) return null;
    values.set(
      name,
      childrenOf(field, 'value', NS.DATA).map((value) => value.getText()),
    );
  }
  const one = (name: string): string | null => values.get(name)?.[0] ?? null;
  const time = (name: string, otherwise: number): number => {
    const text = one(name);
    return text === null ? otherwise : Date.parse(text);
  };
  const other = one('with');
  const jid = other === null ? null : parseJid(other);
  const [start, end] = [time('start', 0), time('end', Number.POSITIVE_INFINITY)];
  if ((other !== null && jid === null) || Number.isNaN(start) || Number.isNaN(end)) return null;
  const [after, before] = [one('after-id'), one('before-id')];
  return { with: jid, start, end, after, before, ids: values.get('ids') ?? null };
}

function form(): Element {
  const field = (name: string, type: string): Element => element('field', { var: name, type });
  return element(
    'x',
    { xmlns: NS.DATA, type: 'form' },
    element('field', { var: 'FORM_TYPE', type: 'hidden' }, element('value', {}, NS.ARCHIVE)),
    field('with', 'jid-single'),
    field('start', 'text-single'),
    field('end', 'text-single'),
    field('before-id', 'text-single'),
    field('after-id', 'text-single'),
    field('ids', 'list-multi'),
  );
}

/** XEP-0441: everything is archived; asking for less is refused. */
function preferences(iq: Element, prefs: Element): Element {
  const other = prefs.attrs.default !== undefined && prefs.attrs.default !== 'always';
  if (iq.attrs.type === 'set' && other) return errorReply(iq, 'not-allowed');
  return resultReply(
    iq,
    element('prefs', { xmlns: NS.ARCHIVE, default: 'always' }, element('always'), element('never')),
  );
}

/** XEP-0313 4.1.6. */
function metadata(archives: Archives, owner: string, iq: Element): Element {
  const all =
    archives.find(owner, {
      with: null,
      start: 0,
      end: Number.POSITIVE_INFINITY,
      after: null,
      before: null,
      ids: null,
    }) ?? [];
  const edge = (name: string, id: string | undefined): Element | null => {
    const kept = id === undefined ? null : archives.read(owner, id);
    if (kept === null) return null;
    return element(name, { id: kept.id, timestamp: new Date(kept.at).toISOString() });
  };
  return resultReply(
    iq,
    element(
      'metadata',
      { xmlns: NS.ARCHIVE },
      edge('start', all[0]?.id),
      edge('end', all.at(-1)?.id),
    ),
  );
}
