/**
 * A file that only takes up room: on a full disk it gives some back, so that removals can still be
 * written down, and a start has what it needs. What is given may be gone to others on that disk;
 * so it is given in parts.
 */
import { randomFillSync } from 'node:crypto';
import { statSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** In how many parts it is given. */
const PARTS = 4;
/** What is written at once. */
const CHUNK_BYTES = 1024 * 1024;

export class Reserve {
  readonly #path: string;
  /** All of it. */
  readonly bytes: number;
  #has: number;

  /** Takes over what an earlier process left of it. 0 bytes: there is none. */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.bytes = bytes;
    this.#has = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Bytes that `fill` would take. */
  get missing(): number {
    return Math.max(0, this.bytes - this.#has);
  }

  /** Gives a part of it back to the file system. False: there is nothing left. */
  give(): boolean {
    if (this.#has === 0) return false;
    this.#has = Math.max(0, this.#has - Math.ceil(this.bytes / PARTS));
    truncateSync(this.#path, this.#has);
    return true;
  }

  /** Takes all of it. Rejects where there is no room: then it has no more than before. */
  async fill(): Promise<void> {
    if (this.missing === 0) return;
    const file = await open(this.#path, 'a');
    try {
      // Not of zeros, which some file systems keep without taking up room.
      const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.missing)));
      for (let at = this.#has; at < this.bytes; at += chunk.length) {
        await file.appendFile(chunk.subarray(0, this.bytes - at));
      }
      // A part may have been given meanwhile.
      this.#has = (await file.stat()).size;
    } catch (error) {
      await file.truncate(this.#has);
      throw error;
    } finally {
      await file.close();
    }
  }
}
