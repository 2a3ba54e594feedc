import { randomBytes } from 'node:crypto';

/** The only source of chance. Cryptographic in production, seeded in tests. */
export interface Random {
  /** `size` random bytes. */
  bytes(size: number): Buffer;
}

/** The operating system's randomness, for everything that must not be guessed. */
export class SystemRandom implements Random {
  bytes(size: number): Buffer {
    return randomBytes(size);
  }
}

/** An unguessable name of 22 URL-safe characters (128 bits), as in `amq.gen-…` and session ids. */
export function randomName(random: Random): string {
  return random.bytes(16).toString('base64url');
}
