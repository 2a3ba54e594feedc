/** Clients in Debian's Python: scripts beside this file that print one JSON line per step. */
import { execFile, spawnSync } from 'node:child_process';

const PYTHON = '/usr/bin/python3';
const TIMEOUT_MS = 50_000;

export type Step = { readonly step: string } & Readonly<Record<string, unknown>>;

/** Whether Debian's Python has the module; says so loudly where it does not. */
export function pythonHas(module: string): boolean {
  const installed = spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0;
  if (!installed) console.warn(`SKIPPED: ${module} is not installed for ${PYTHON}`);
  return installed;
}

/** The steps of a whole run; rejects with everything it said where it failed. */
export function runPython(script: string, ...args: readonly (string | number)[]): Promise<Step[]> {
  const path = new URL(script, import.meta.url).pathname.replace('/dist/test/', '/test/');
  return new Promise((resolve, reject) => {
    const argv = [path, ...args.map(String)];
    execFile(PYTHON, argv, { timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
      else
        resolve(
          stdout
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line) as Step),
        );
    });
  });
}
