/** The style itself, checked: who may import whom, how long things are, what must be documented. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../core/limits.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const FILE_LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;
const COLUMNS_MAX = 100;

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name))
    .map((entry) => posix.join(entry.parentPath.slice(ROOT.length), entry.name))
    .sort();
}

const SOURCES = ['main.ts', ...filesBelow('core'), ...filesBelow('adapters')];
const ALL = [...SOURCES, ...filesBelow('test')];
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** Project files that a file imports, by path from the top. */
function imports(file: string): string[] {
  const found = text(file).matchAll(/(?:from|import\() ?'(\.[^']+)'/g);
  return [...found].map(([, path]) => posix.normalize(posix.join(dirname(file), path ?? '')));
}

/** npm packages that a file imports. */
function packages(file: string): string[] {
  const found = text(file).matchAll(/^(?:import|export) [^;]*?from '([^.'][^']*)'/gms);
  return [...found].map(([, name]) => name ?? '').filter((name) => !name.startsWith('node:'));
}

/** Why `from` may not import `to`, or null. */
function forbidden(from: string, to: string): string | null {
  const [top, folder] = from.split('/');
  const [toTop, toFolder, ...rest] = to.split('/');
  if (from === 'main.ts') return null;
  const sameFolder = top === toTop && folder === toFolder;
  if (toTop === 'core' && rest.length === 0) return null;
  if (top === 'core')
    return from.split('/').length > 2 && sameFolder ? null : 'core imports core/*.ts';
  if (to === 'adapters/adapter.ts' || to === 'adapters/output.ts' || sameFolder) return null;
  return 'an adapter imports core/*.ts and its own folder';
}

/** The longest function of a file, in lines: from a line that opens one to the brace at its column. */
function longestFunction(file: string): { lines: number; at: number } {
  const lines = text(file).split('\n');
  let longest = { lines: 0, at: 0 };
  for (const [index, line] of lines.entries()) {
    const opening =
      /^(\s*)(?:export |async |static |override |get |set |\*|#|private )*(?:function\b|[\w#]+\s*\(|constructor).*\{$/.exec(
        line,
      );
    if (opening === null || /^\s*(if|for|while|switch|catch|describe|it|return)\b/.test(line))
      continue;
    const end = lines.findIndex((other, at) => at > index && other.startsWith(`${opening[1]}}`));
    if (end - index > longest.lines) longest = { lines: end - index - 1, at: index + 1 };
  }
  return longest;
}

describe('imports', () => {
  it('go downward: core to core, adapters to core and their own folder', () => {
    const wrong = SOURCES.flatMap((file) =>
      imports(file).flatMap((to) => {
        const reason = forbidden(file, to);
        return reason === null ? [] : [`${file} imports ${to}: ${reason}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  it('have no cycles', () => {
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      const at = path.indexOf(file);
      if (at !== -1) cycles.push([...path.slice(at), file].join(' → '));
      if (at !== -1 || done.has(file)) return;
      for (const to of valueImports(file)) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of SOURCES) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it('name each package in one place', () => {
    const users = new Map<string, string[]>();
    for (const file of SOURCES) {
      for (const name of new Set(packages(file)))
        users.set(name, [...(users.get(name) ?? []), file]);
    }
    // The schema language stands wherever options are described.
    users.delete('zod');
    expect([...users].filter(([, files]) => files.length > 1)).toEqual([]);
  });
});

/** Imports that exist at run time; a type may look back. */
function valueImports(file: string): string[] {
  const statements = text(file).matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)'/gms);
  return [...statements].map(([, path]) => posix.normalize(posix.join(dirname(file), path ?? '')));
}

describe('files', () => {
  it(`have at most ${FILE_LINES_MAX} lines`, () => {
    expect(ALL.filter((file) => text(file).split('\n').length > FILE_LINES_MAX)).toEqual([]);
  });

  it(`have functions of at most ${FUNCTION_LINES_MAX} lines`, () => {
    const long = SOURCES.map((file) => ({ file, ...longestFunction(file) })).filter(
      ({ lines }) => lines > FUNCTION_LINES_MAX,
    );
    expect(long).toEqual([]);
  });

  it(`have lines of at most ${COLUMNS_MAX} columns`, () => {
    const wide = SOURCES.flatMap((file) =>
      text(file)
        .split('\n')
        .map((line, index) => ({ where: `${file}:${index + 1}`, line }))
        // A text that cannot be broken may stand out.
        .filter(({ line }) => line.length > COLUMNS_MAX && !/['"`/]/.test(line))
        .map(({ where }) => where),
    );
    expect(wide).toEqual([]);
  });

  it('take time, chance and sockets from outside', () => {
    const allowed = /^(main\.ts|core\/(clock|random|users)\.ts|adapters\/net\/)/;
    const own =
      /\b(Date\.now|setTimeout|setInterval|Math\.random|randomBytes)\(|from 'node:(net|tls)'/;
    const wrong = SOURCES.filter((file) => !allowed.test(file) && own.test(withoutComments(file)));
    expect(wrong).toEqual([]);
  });
});

function withoutComments(file: string): string {
  return text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}

describe('documentation', () => {
  it('names every limit', () => {
    const limits = readFileSync(join(ROOT, 'docs/limits.md'), 'utf8');
    const named = (limit: string): string =>
      limit.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    expect(
      Object.keys(DEFAULT_LIMITS).filter((limit) => !limits.includes(`\`${named(limit)}\``)),
    ).toEqual([]);
  });
});
