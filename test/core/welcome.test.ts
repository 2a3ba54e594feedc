import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../core/config.ts';
import { type Listening, welcome } from '../../core/welcome.ts';

const LISTENING: readonly Listening[] = [
  { protocol: 'amqp', url: 'amqp://127.0.0.1:5672', port: 5672, tls: false },
  { protocol: 'mqtt', url: 'mqtt://127.0.0.1:1883', port: 1883, tls: false },
  { protocol: 'stomp', url: 'stomp://127.0.0.1:61613', port: 61613, tls: false },
  { protocol: 'xmpp', url: 'xmpp://127.0.0.1:5222', port: 5222, tls: false },
];

describe('the first screen', () => {
  it('names every listener, the account, and a line to paste for each protocol', () => {
    const text = welcome('Rosetta MQ 1.0.0', parseConfig({}), LISTENING);
    expect(text.startsWith('Rosetta MQ 1.0.0 is up.\n')).toBe(true);
    for (const { url } of LISTENING) expect(text).toContain(url);
    expect(text).toContain('guest / guest (from this machine only)');
    for (const command of [
      'mosquitto_sub -p 1883',
      'amqp-publish',
      'nc 127.0.0.1 61613',
      'slixmpp',
    ]) {
      expect(text).toContain(command);
    }
  });

  it('shows no password but the one that everybody knows', () => {
    const users = [{ name: 'ada', password: 'pencil' }];
    const text = welcome('Rosetta MQ', parseConfig({ users }), LISTENING);
    expect(text).not.toContain('pencil');
    expect(text).toContain('ada / as configured');
  });

  it('leaves the lines to paste out where a protocol does not listen', () => {
    const text = welcome('Rosetta MQ', parseConfig({}), LISTENING.slice(1));
    expect(text).not.toContain('mosquitto_sub');
  });
});
