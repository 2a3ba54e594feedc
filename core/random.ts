import { randomBytes } from 'node:crypto';

/** The only source of chance. Cryptographic in production, seeded in tests. */
export interface Random {
  /** `size` random bytes. */
  bytes(size: number): Buffer;
}

/** Asking the system costs microseconds, however little is wanted. */
const POOL_BYTES = 4096;

/** The operating system's randomness, for everything that must not be guessed. */
export class SystemRandom implements Random {
  #pool = Buffer.alloc(0);
  /** Nothing before it is given out again. */
  #next = 0;

  bytes(size: number): Buffer {
    if (size > POOL_BYTES / 8) return randomBytes(size);
    if (this.#next + size > this.#pool.length) {
      this.#pool = randomBytes(POOL_BYTES);
      this.#next = 0;
    }
    const start = this.#next;
    this.#next += size;
    return Buffer.from(this.#pool.subarray(start, this.#next));
  }
}

/** An unguessable name of 22 URL-safe characters (128 bits), as in `amq.gen-…` and session ids. */
export function randomName(random: Random): string {
  return random.bytes(16).toString('base64url');
}
