/** A value as Erlang prints it, which RabbitMQ's messages quote values in. */
export function termText(value: unknown): string {
  if (typeof value === 'string') return binaryText(value);
  if (Array.isArray(value)) return `[${value.map(termText).join(',')}]`;
  if (value === null || typeof value !== 'object') return String(value);
  const pairs = Object.entries(value).map(([name, inner]) => [termText(name), termText(inner)]);
  return `#{${pairs.map((pair) => pair.join(' => ')).join(',')}}`;
}

/** Settings as RabbitMQ keeps them: a list of pairs. */
export function pairsText(pairs: readonly (readonly [name: string, value: unknown])[]): string {
  return `[${pairs.map((pair) => `{${pair.map(termText).join(',')}}`).join(',')}]`;
}

function binaryText(text: string): string {
  const quoted = text.replace(/["\\]/g, '\\$&');
  if (/^[\x20-\x7e]*$/.test(text)) return `<<"${quoted}">>`;
  return /[\x00-\x1f]/.test(text)
    ? `<<${[...Buffer.from(text)].join(',')}>>`
    : `<<"${quoted}"/utf8>>`;
}
