/** XEP-0280: copies of what one resource sends or gets, for the person's other resources. */
import { escapeAttribute } from './element.ts';
import { NS } from './namespaces.ts';
import type { ClientSession } from './session.ts';
import { messageWire, typeOfNative } from './wire.ts';

/** Copies to `others`, where the message is of a kind that is copied. */
export function carbonCopies(
  direction: 'sent' | 'received',
  others: readonly ClientSession[],
  native: Buffer,
  from: string,
  to: string,
): void {
  if (!isCopied(native)) return;
  const [start, content, end] = messageWire(native, from, to, '');
  const inner = `<message xmlns="${NS.CLIENT}"${start.slice('<message'.length)}`;
  for (const session of others) {
    const bare = escapeAttribute(session.jid.bare);
    const type = typeOfNative(native) === 'chat' ? ' type="chat"' : '';
    const head =
      `<message from="${bare}" to="${escapeAttribute(session.jid.full)}"${type}>` +
      `<${direction} xmlns="${NS.CARBONS}"><forwarded xmlns="${NS.FORWARD}">${inner}`;
    const tail = `${end}</forwarded></${direction}></message>`;
    session.send([head, content ?? '', tail], null);
  }
}

/** XEP-0280 section 6.1: chats, and other messages with a body, unless the sender forbids it. */
function isCopied(native: Buffer): boolean {
  const type = typeOfNative(native);
  if (type !== 'chat' && !(type === 'normal' && native.includes('<body'))) return false;
  // Our own serializer writes namespaces so; text content has no literal `<`.
  return !native.includes(`xmlns="${NS.CARBONS}"`) && !native.includes('<no-copy ');
}
