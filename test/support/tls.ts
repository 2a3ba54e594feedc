/**
 * Certificates for tests, valid for a hundred years: `server` is for localhost, example.org and the
 * loopback addresses, `client` for alice; both are signed by `ca`. `named`, which `named-ca` signed, has
 * a subject of several parts and alternative names.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The path of one of the files in test/support/tls: `server.pem`, `server.key`, `ca.pem`, … */
export function tlsFile(name: string): string {
  // Compiled tests run from dist/, where only code is.
  return fileURLToPath(new URL(`./tls/${name}`, import.meta.url)).replace('/dist/test/', '/test/');
}

/** The authority that a client trusts to trust the test server. */
export function testAuthority(): Buffer {
  return readFileSync(tlsFile('ca.pem'));
}
