/** Third-party clients that are commands of the machine: Debian's Python and its libraries. */
import { execFile, execFileSync } from 'node:child_process';

export const PYTHON = '/usr/bin/python3';

/** Whether a command ends well here; says so loudly where it does not. */
export function works(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    console.warn(`SKIPPED: ${command} ${args.join(' ')} does not work on this machine`);
    return false;
  }
}

/** Runs a command to its end; answers what it printed. */
export function run(
  command: string,
  args: readonly string[],
  input = '',
  timeoutMs = 15_000,
  environment: NodeJS.ProcessEnv = {},
): Promise<string> {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...environment };
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, env };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
    });
    child.stdin?.end(input);
  });
}
