import { afterEach, describe, expect, it, vi } from 'vitest';
import { runCommand } from '../../core/cli.ts';
import { type ConfigFile, parseConfig } from '../../core/config.ts';
import { ConfigError } from '../../core/errors.ts';

interface Outcome {
  readonly out: string;
  readonly err: string;
  readonly code: number | null;
  readonly file: ConfigFile | null;
}

class Exit extends Error {}

/** What the command says and how it ends; a start that fails fails with `mistake`. */
async function run(args: readonly string[], mistake: Error | null = null): Promise<Outcome> {
  let [out, err] = ['', ''];
  let code: number | null = null;
  let file: ConfigFile | null = null;
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
  vi.spyOn(process, 'exit').mockImplementation((given) => {
    code = Number(given);
    throw new Exit();
  });
  vi.spyOn(process, 'on').mockReturnValue(process);
  try {
    await runCommand(args, '1.2.3', (given) => {
      file = given;
      const start = async (): Promise<void> => {
        if (mistake !== null) throw mistake;
      };
      return { config: parseConfig(given), listening: [], start, stop: async () => {} };
    });
  } catch (error) {
    if (!(error instanceof Exit)) throw error;
  }
  return { out, err, code, file };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the command', () => {
  it('says its version and its usage', async () => {
    expect((await run(['--version'])).out).toBe('1.2.3\n');
    vi.restoreAllMocks();
    expect((await run(['--help'])).out).toContain('--config FILE');
  });

  it('starts with what the arguments override', async () => {
    const { out, code, file } = await run(['--data', '/tmp/x', '--log-level', 'error']);
    expect(file).toEqual({ data_dir: '/tmp/x', log_level: 'error' });
    expect([code, out.split('\n')[0]]).toEqual([null, 'Rosetta MQ 1.2.3 is up.']);
  });

  it.each([
    [['--port', '1'], '--port'],
    [['fly'], "unknown command 'fly'"],
    [['--config', '/nowhere/at/all.yaml'], 'cannot read the configuration file'],
    [['--log-level', 'loud'], 'log_level'],
  ])('%j ends with code 2 and one clear line', async (args, text) => {
    const { err, code } = await run(args);
    expect(code).toBe(2);
    expect(err).toContain(text);
    expect(err).toMatch(/^rosettamq: [^\n]+\n$/);
  });

  it('ends so, too, where a start finds the configuration unusable', async () => {
    const { err, code } = await run(
      [],
      new ConfigError('listeners[0].port', 'port 5672 is in use'),
    );
    expect([code, err]).toEqual([2, 'rosettamq: listeners[0].port: port 5672 is in use\n']);
  });

  it('does not hide a bug', async () => {
    await expect(run([], new TypeError('a bug'))).rejects.toThrow('a bug');
  });
});
