/**
 * Stories that restarts interrupt: each runs up to a `yield`, and goes on behind it in the next
 * process. All of them share their restarts, which take longer than they do.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigFile } from '../../core/config.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.ts';

/** `gateway` is the present process, also behind a `yield`. */
export type Story = (gateway: () => GatewayProcess) => AsyncGenerator<void, void, void>;

/** Longer than any step takes on a busy machine. */
const STEP_MS_MAX = 25_000;

interface Running {
  readonly name: string;
  readonly steps: AsyncGenerator<void, void, void>;
  over: boolean;
  failure: unknown;
}

/** Makes one test of each story; the processes end by `way`. */
export function tell(
  way: 'stop' | 'kill',
  config: ConfigFile,
  stories: Readonly<Record<string, Story>>,
): void {
  const directory = mkdtempSync(join(tmpdir(), 'rosettamq-restarts-'));
  const running = new Map<string, Running>();

  beforeAll(async () => {
    let gateway = await startGatewayProcess(directory, config);
    for (const [name, story] of Object.entries(stories)) {
      const steps = story(() => gateway);
      running.set(name, { name, steps, over: false, failure: null });
    }
    for (;;) {
      await Promise.all([...running.values()].map(advance));
      if ([...running.values()].every(({ over }) => over)) break;
      await gateway[way]();
      gateway = await startGatewayProcess(directory, config);
    }
    await gateway.stop();
  }, 120_000);

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  for (const name of Object.keys(stories)) {
    it(name, () => {
      const { over, failure } = running.get(name) as Running;
      if (failure !== null) throw failure;
      expect(over).toBe(true);
    });
  }
}

async function advance(story: Running): Promise<void> {
  if (story.over) return;
  let watchdog: NodeJS.Timeout | undefined;
  const stuck = new Promise<never>((_, reject) => {
    const why = new Error('waits for something that does not come');
    watchdog = setTimeout(() => reject(why), STEP_MS_MAX);
  });
  try {
    story.over = (await Promise.race([story.steps.next(), stuck])).done === true;
  } catch (error) {
    story.failure = error;
    story.over = true;
  } finally {
    clearTimeout(watchdog);
  }
}
