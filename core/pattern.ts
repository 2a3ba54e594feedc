/**
 * Regular expressions that people write for RabbitMQ, which are Perl's (PCRE): what differs in
 * writing only is written in JavaScript's way.
 */

const FLAGS = /^\(\?([imsx]+)\)/;
const CLASSES: Readonly<Record<string, string>> = {
  alnum: 'A-Za-z0-9',
  alpha: 'A-Za-z',
  digit: '0-9',
  lower: 'a-z',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  word: '\\w',
  xdigit: '0-9A-Fa-f',
};

/** Throws SyntaxError for what is none, or has no like in JavaScript. */
export function compilePattern(source: string): RegExp {
  const flags = FLAGS.exec(source)?.[1] ?? '';
  if (flags.includes('x')) throw new SyntaxError('the flag x is not supported');
  const text = (flags === '' ? source : source.slice(flags.length + 3))
    .replace(/\\([\s\S])/g, (known, letter: string) => {
      if (PERLS_OWN.includes(letter)) throw new SyntaxError(`\\${letter} is not supported`);
      return ANCHORS[letter] ?? known;
    })
    .replace(/\[:([a-z]+):\]/g, (known, name: string) => CLASSES[name] ?? known)
    .replace(/\(\?P?<([A-Za-z_]\w*)>/g, '(?<$1>');
  // Unicode's mode is strict about escapes that mean nothing, which Perl allows.
  try {
    return new RegExp(text, `${flags}u`);
  } catch {
    return new RegExp(text, flags);
  }
}

/** Perl's words for the ends of a text. */
const ANCHORS: Readonly<Record<string, string>> = { A: '^', z: '$', Z: '$' };
/** Escapes that would be taken for the letter itself. */
const PERLS_OWN = 'aeghCEGHKNQRVX';
