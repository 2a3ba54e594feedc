/** `rosettamq export-definitions` and `import-definitions`: a running gateway's, over HTTP. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { JsonObject } from './definitions.ts';
import { DefinitionsError, type ImportTarget, importDefinitions } from './definitions-import.ts';
import { ConfigError, reasonOf } from './errors.ts';
import { askGateway, type GatewayAnswer, jsonOf } from './gateway-request.ts';

export interface DefinitionsArguments {
  readonly words: readonly string[];
  readonly url: string | undefined;
  /** Only what is in it. */
  readonly vhost: string | undefined;
}

/** What to print: the document, where no file is named to write it to. */
export async function exportCommand(asked: DefinitionsArguments): Promise<string> {
  const [file, ...more] = asked.words;
  if (more.length > 0) throw new ConfigError('', 'export-definitions: expected FILE or nothing');
  const answer = await askGateway({ url: asked.url, method: 'GET', path: pathOf(asked) });
  const document = jsonOf<JsonObject>(answer);
  if (answer.status !== 200 || !('queues' in document)) throw refused(answer);
  const text = `${JSON.stringify(document, null, 2)}\n`;
  if (file === undefined) return text;
  try {
    writeFileSync(file, text, { mode: 0o600 });
  } catch (error) {
    throw new ConfigError(file, `cannot be written: ${reasonOf(error)}`);
  }
  return `definitions of ${answer.origin} are in ${file}\n`;
}

/** What to print. Throws ConfigError with everything that is wrong in the file. */
export async function importCommand(asked: DefinitionsArguments): Promise<string> {
  const [file, ...more] = asked.words;
  if (file === undefined || more.length > 0) {
    throw new ConfigError('', 'import-definitions: expected FILE');
  }
  const body = textOf(file);
  const answer = await askGateway({ url: asked.url, method: 'POST', path: pathOf(asked), body });
  if (answer.status !== 204) throw refused(answer);
  return `${file} is imported into ${answer.origin}\n`;
}

/** Imports the file that the configuration names. Throws ConfigError. */
export async function loadDefinitions(file: string, into: ImportTarget): Promise<void> {
  try {
    await importDefinitions(into, JSON.parse(textOf(file)));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (error instanceof DefinitionsError) throw new ConfigError('definitions', listed(error));
    if (error instanceof SyntaxError) throw new ConfigError('definitions', `${file} is not JSON`);
    throw error;
  }
}

function pathOf({ vhost }: DefinitionsArguments): string {
  return vhost === undefined ? 'api/definitions' : `api/definitions/${encodeURIComponent(vhost)}`;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(file, `cannot be read: ${reasonOf(error)}`);
  }
}

function listed({ problems }: Pick<DefinitionsError, 'problems'>): string {
  return ['nothing was imported:', ...problems.map((problem) => `  ${problem}`)].join('\n');
}

interface Refused {
  readonly reason: string;
  readonly problems: readonly string[];
}

function refused(answer: GatewayAnswer): ConfigError {
  const { reason = 'no gateway', problems } = jsonOf<Refused>(answer);
  const why = problems === undefined ? reason : listed({ problems });
  return new ConfigError('', `${answer.origin} answers ${answer.status}: ${why}`);
}
