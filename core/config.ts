/**
 * The configuration: one YAML file, validated as a whole before anything starts. A mistake is a
 * `ConfigError` that names the path and the form expected there.
 */
import type { z } from 'zod';
import { ConfigError } from './errors.ts';

/** Validates one part of the configuration against its schema; `path` is where it stands in the file. */
export function parseSection<T>(schema: z.ZodType<T>, raw: unknown, path: string): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined ? path : joinPath(path, issue.path);
  throw new ConfigError(where, issue?.message ?? 'is not valid');
}

function joinPath(base: string, steps: readonly PropertyKey[]): string {
  let path = base;
  for (const step of steps) {
    if (typeof step === 'number') path += `[${step}]`;
    else path += path === '' ? String(step) : `.${String(step)}`;
  }
  return path;
}
