import { expect, test } from 'vitest';
import { stompOptions } from '../../../adapters/stomp/options.ts';

test('a section that says nothing has the defaults', () => {
  const defaults = {
    vhost: '/',
    dialect: 'rabbitmq',
    defaultUser: null,
    implicitConnect: false,
  };
  expect(stompOptions(undefined)).toEqual(defaults);
  expect(stompOptions({})).toEqual(defaults);
});

test('every option is read', () => {
  const section = { vhost: 'v', dialect: 'activemq', default_user: 'u', implicit_connect: true };
  expect(stompOptions(section)).toEqual({
    vhost: 'v',
    dialect: 'activemq',
    defaultUser: 'u',
    implicitConnect: true,
  });
});

test.each([
  [{ dialect: 'openwire' }, 'stomp.dialect'],
  [{ vhost: '' }, 'stomp.vhost'],
  [{ prefetch: 1 }, 'stomp'],
  [{ implicit_connect: true }, 'stomp.implicit_connect'],
])('%j is a mistake at its path', (section, path) => {
  expect(() => stompOptions(section)).toThrow(path);
});
