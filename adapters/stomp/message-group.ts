/** Message groups by ActiveMQ's headers, whichever protocol a message came in on. */
import type { MessageGroup } from '../../core/engine.ts';
import { plain } from '../../core/envelope.ts';
import { header, type Message } from '../../core/message.ts';

const NAME = 'JMSXGroupID';
const SEQUENCE = 'JMSXGroupSeq';

const NAME_BYTES = Buffer.from(NAME);

/** `JMSXGroupID` names the group, a negative `JMSXGroupSeq` ends it. */
export function groupOf(message: Message): MessageGroup | null {
  // Most messages are of no group, and need not be decoded to say so.
  if (!message.native.includes(NAME_BYTES)) return null;
  const { headers } = message.properties;
  const name = header(headers, NAME);
  if (typeof name !== 'string' || name === '') return null;
  const sequence = plain(header(headers, SEQUENCE) ?? null);
  return { name, last: Number(sequence) < 0 };
}
