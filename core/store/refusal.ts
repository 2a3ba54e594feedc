/** What the system refuses to do with a file, as a sentence that says what to do about it. */
import { type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { reasonOf } from '../errors.ts';

/**
 * For `error`, which came while `directory` was being made ready; null where it is not the system's.
 */
export function refusal(error: unknown, directory: string): string | null {
  const { code, path = directory, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return null;
  const file = resolve(path);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return notAllowed(file, directory);
    case 'EROFS':
      return `${file} is on a file system that is mounted read-only: mount it for writing, or choose another directory`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${nearest(file).path} is not a directory: move it away, or choose another directory`;
    case 'EISDIR':
      return `${file} is a directory, where a file is expected: move it away`;
    case 'ELOOP':
      return `${file} leads through symbolic links that lead to each other: mend them, or choose another directory`;
    case 'ENAMETOOLONG':
      return `${file} is too long a name: choose another directory`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `there is no room on the disk of ${directory} to start with: make some, a megabyte is enough`;
    case 'EMFILE':
    case 'ENFILE':
      return `${file} cannot be opened, since too many files are open: allow more (ulimit -n, or LimitNOFILE= of systemd)`;
    case 'EIO':
      return `${file} cannot be read or written, since its disk has an error there: see what the system's log says of the disk`;
    default:
      return `${directory} cannot be used: ${reasonOf(error)}`;
  }
}

/** As the system would say it, of a file that is not what it should be. */
export function systemError(code: string, syscall: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, syscall, path });
}

function notAllowed(file: string, directory: string): string {
  const { path, stats } = nearest(file);
  const mine = process.getuid?.();
  const owner = stats?.uid;
  const mode = ((stats?.mode ?? 0) & 0o7777).toString(8).padStart(4, '0');
  const is = `${path} (of user ${owner}, mode ${mode}) is closed to the gateway, which runs as user ${mine}`;
  const isAbove = path !== resolve(directory) && resolve(directory).startsWith(path);
  const remedy = isAbove
    ? `let that user in and give it ${directory}, or choose another directory`
    : owner === mine
      ? `open it: chmod -R u+rwX ${directory}`
      : `give it to the user that runs the gateway: chown -R ${mine} ${directory}`;
  return `${is}: ${remedy}`;
}

/** The file, or where it is not there or not to be seen, the nearest above it that is. */
function nearest(file: string): { readonly path: string; readonly stats: Stats | null } {
  for (let path = file; ; path = dirname(path)) {
    try {
      return { path, stats: statSync(path) };
    } catch {
      if (path === dirname(path)) return { path, stats: null };
    }
  }
}
