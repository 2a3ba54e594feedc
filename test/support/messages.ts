import type {
  Format,
  HeaderValue,
  Message as MessageType,
  Properties,
} from '../../core/message.ts';
import { Message } from '../../core/message.ts';

/** A format for tests of the core alone: properties as JSON-free key=value text. */
export const PLAIN_FORMAT: Format = {
  name: 'plain',
  read: (message: MessageType): Properties => {
    const headers: [string, HeaderValue][] = [];
    for (const line of message.native.toString().split('\n')) {
      const at = line.indexOf('=');
      if (at > 0) headers.push([line.slice(0, at), line.slice(at + 1)]);
    }
    return { headers };
  },
  write: (message: MessageType): Buffer =>
    Buffer.from(message.properties.headers.map(([name, value]) => `${name}=${value}`).join('\n')),
};

export interface MessageParts {
  readonly body?: string;
  readonly exchange?: string;
  readonly key?: string;
  readonly durable?: boolean;
  readonly priority?: number;
  readonly expiresAt?: number;
  readonly receivedAt?: number;
  readonly retain?: boolean;
  readonly copies?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** A message as a publisher of the plain test format would send it. */
export function message(parts: MessageParts): Message {
  const headers = Object.entries(parts.headers ?? {});
  return new Message(
    PLAIN_FORMAT,
    Buffer.from(headers.map(([name, value]) => `${name}=${value}`).join('\n')),
    Buffer.from(parts.body ?? ''),
    parts.exchange ?? '',
    parts.key ?? '',
    parts.durable ?? false,
    parts.priority ?? 0,
    parts.expiresAt ?? 0,
    parts.receivedAt ?? 0,
    parts.retain ?? false,
    parts.copies ?? null,
  );
}
