/** What a client's certificate says of it, read from its TLS connection. */
import type { TLSSocket } from 'node:tls';
import type { ClientCertificate } from '../../core/auth.ts';

/** Null where there is none, or no authority that is trusted here has signed it. */
export function clientCertificate(socket: TLSSocket): ClientCertificate | null {
  if (!socket.authorized) return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  const subject = namesOf(certificate.subject);
  const commonName = subject.findLast(([type]) => type === 'CN')?.[1] ?? null;
  return {
    commonName,
    // RFC 4514 writes the most significant part last, where the certificate has it first.
    subject: subject
      .reverse()
      .map(([type, value]) => `${type}=${escaped(value)}`)
      .join(','),
    alternativeNames: alternativeNames(certificate.subjectAltName),
  };
}

/** Node writes one `TYPE=value` a line, with backslashes before what RFC 2253 would escape. */
function namesOf(subject: string | undefined): [type: string, value: string][] {
  return (subject ?? '').split('\n').flatMap((line): [string, string][] => {
    const at = line.indexOf('=');
    return at < 1 ? [] : [[line.slice(0, at), line.slice(at + 1).replace(/\\(.)/g, '$1')]];
  });
}

/** RFC 4514 section 2.4. */
function escaped(value: string): string {
  return value
    .replace(/[,+"\\<>;]/g, '\\$&')
    .replace(/^[ #]/, '\\$&')
    .replace(/ $/, '\\ ');
}

/** Node's `DNS:example.org, email:alice@example.org, URI:"…"`; what needs it is a JSON string. */
function alternativeNames(text: string | undefined): ClientCertificate['alternativeNames'] {
  const found = (text ?? '').matchAll(/(?:^|, )([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)/g);
  return [...found].map(([, type = '', value = '']) => ({
    type: type.toLowerCase(),
    value: value.startsWith('"') ? (JSON.parse(value) as string) : value,
  }));
}
