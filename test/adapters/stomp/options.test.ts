import { expect, test } from 'vitest';
import { stompOptions } from '../../../adapters/stomp/options.ts';

test('a section that says nothing has the defaults', () => {
  const defaults = { vhost: '/', dialect: 'rabbitmq', defaultUser: null };
  expect(stompOptions(undefined)).toEqual(defaults);
  expect(stompOptions({})).toEqual(defaults);
});

test('every option is read', () => {
  expect(stompOptions({ vhost: 'v', dialect: 'activemq', default_user: 'u' })).toEqual({
    vhost: 'v',
    dialect: 'activemq',
    defaultUser: 'u',
  });
});

test.each([
  [{ dialect: 'openwire' }, 'stomp.dialect'],
  [{ vhost: '' }, 'stomp.vhost'],
  [{ prefetch: 1 }, 'stomp'],
])('%j is a mistake at its path', (section, path) => {
  expect(() => stompOptions(section)).toThrow(path);
});
