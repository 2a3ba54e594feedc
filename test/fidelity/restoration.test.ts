/**
 * Whatever enters on one protocol and passes through another returns to its own unchanged
 * (docs/fidelity.md): generated messages through the formats that the adapters use.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROUTING_KEY_HEADER } from '../../core/envelope.ts';
import type { Properties } from '../../core/message.ts';
import { crossed, FORMATS, NOW, PAIRS, said, written } from './formats.ts';
import { fields, properties } from './generated.ts';

const RUNS = { numRuns: 300 };

/** A key that an address cannot carry stands beside it, and is no header of the publisher's. */
function withoutKey(said: Properties): Properties {
  return { ...said, headers: said.headers.filter(([name]) => name !== ROUTING_KEY_HEADER) };
}

/** AMQP has no word for "the body is text", which is read from the type and the bytes. */
function comparable(properties: Properties): object {
  return said({ ...withoutKey(properties), text: undefined });
}

describe.each(PAIRS.map(([from, to]) => ({ from, to, title: `${from.name} → ${to.name}` })))(
  '$title',
  ({ from, to }) => {
    it('and back restores everything', () => {
      fc.assert(
        fc.property(properties, fields, (properties, fields) => {
          const sent = written(from, properties, fields);
          expect(comparable(sent.properties)).toEqual(comparable(properties));
          const there = crossed(sent, to);
          expect(there.body).toEqual(fields.body);
          expect(comparable(there.properties)).toEqual(comparable(sent.properties));
          const back = crossed(there, from);
          expect(back.body).toEqual(fields.body);
          expect(comparable(back.properties)).toEqual(comparable(sent.properties));
        }),
        RUNS,
      );
    });
  },
);

describe.each(FORMATS)('$name', (format) => {
  it('is passed through as its own bytes', () => {
    fc.assert(
      fc.property(properties, fields, (properties, fields) => {
        const sent = written(format, properties, fields);
        expect(sent.as(format, NOW)).toBe(sent.native);
      }),
    );
  });
});
