import { readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../errors.ts';

/**
 * One process has the directory: its id, and when that process started (ids are used again), in a
 * file. A file that a killed process left is taken over.
 */
export class DirectoryLock {
  readonly #path: string;

  /**
   * Throws ConfigError where another process has the directory, and what the system throws where it
   * cannot be written. `makeRoom` is called on a full disk; false: it has made none.
   */
  constructor(directory: string, makeRoom: () => boolean) {
    this.#path = join(realpathSync(directory), 'lock');
    const mine = `${process.pid} ${startOf(process.pid)}\n`;
    for (;;) {
      try {
        this.#take(directory, mine);
        return;
      } catch (error) {
        const refused = error as NodeJS.ErrnoException;
        // A read does not say of what.
        refused.path ??= this.#path;
        if (refused.code !== 'ENOSPC' || !makeRoom()) throw error;
      }
    }
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }

  #take(directory: string, mine: string): void {
    try {
      writeFileSync(this.#path, mine, { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [id, start] = readFileSync(this.#path, 'utf8').trim().split(' ');
    if (id !== undefined && isRunning(Number(id), start ?? '')) {
      const reason = `${directory} is in use by process ${id}; stop it, or choose another directory`;
      throw new ConfigError('data_dir', reason);
    }
    writeFileSync(this.#path, mine);
  }
}

function isRunning(id: number, start: string): boolean {
  try {
    process.kill(id, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return startOf(id) === start;
}

/** When a process started, in the kernel's ticks; empty where the system does not tell. */
function startOf(id: number): string {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    // The name, in parentheses, may hold anything; field 22 of proc(5) is the 20th behind it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
