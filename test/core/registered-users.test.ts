import { describe, expect, it } from 'vitest';
import { RegisteredUsers } from '../../core/registered-users.ts';
import { MemoryStore } from '../../core/store/memory.ts';
import { hashPassword, UserDirectory } from '../../core/users.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { PEER } from '../support/world.ts';

const ALL = { configure: '.*', write: '.*', read: '.*' };
const PROFILE = { tags: [], permissions: { '/': { ...ALL, configure: '^mine-' } } };
const CONFIGURED = { name: 'guest', password: 'guest', tags: [], permissions: { '/': ALL } };

function users(store: MemoryStore = new MemoryStore()): RegisteredUsers {
  const configured = new UserDirectory([CONFIGURED], []);
  return new RegisteredUsers(configured, new SeededRandom(1), () => store.table('accounts'));
}

async function login(among: RegisteredUsers, user: string, password: string): Promise<string> {
  const answer = await among.authenticate({ kind: 'password', user, password }, PEER);
  return typeof answer === 'string' ? answer : answer.name;
}

describe('an account that is made while the gateway runs', () => {
  it('comes in, with its permissions, and has keys for both SCRAM hashes', async () => {
    const made = users();
    expect(await login(made, 'ada', 'pencil')).toBe('unknown');
    expect(await made.add('ada', 'pencil', PROFILE)).toBe('done');
    expect(await login(made, 'ada', 'pencil')).toBe('ada');
    expect(await login(made, 'ada', 'pen')).toBe('refused');
    const principal = await made.authenticate({ kind: 'trusted', user: 'ada' }, PEER);
    if (typeof principal === 'string') throw new Error(principal);
    expect(principal.permissions.get('/')?.configure.test('mine-q')).toBe(true);
    expect(principal.permissions.get('/')?.configure.test('q')).toBe(false);
    const keys = [await made.scram('ada', 'sha1'), await made.scram('ada', 'sha256')];
    expect(keys.map((each) => each?.storedKey.length)).toEqual([20, 32]);
    expect(made.names()).toEqual(['ada', 'guest']);
  });

  it('outlives the gateway, and keeps its password only as keys', async () => {
    const store = new MemoryStore();
    await users(store).add('ada', 'pencil', PROFILE);
    const [record] = [...store.table('accounts').entries()];
    expect(record?.[1].toString()).not.toContain('pencil');
    const later = users(store);
    expect(later.exists('ada')).toBe(true);
    expect(await login(later, 'ada', 'pencil')).toBe('ada');
  });

  it('takes no name that is taken, also while another takes it', async () => {
    const made = users();
    const both = [made.add('ada', 'one', PROFILE), made.add('ada', 'two', PROFILE)];
    expect(await Promise.all(both)).toEqual(['done', 'exists']);
    expect(await made.add('guest', 'x', PROFILE)).toBe('exists');
    expect(await login(made, 'ada', 'one')).toBe('ada');
  });

  it('gets another password, and goes', async () => {
    const made = users();
    await made.add('ada', 'pencil', PROFILE);
    expect(await made.setPassword('ada', 'pen')).toBe('done');
    expect(await login(made, 'ada', 'pencil')).toBe('refused');
    expect(await login(made, 'ada', 'pen')).toBe('ada');
    expect(made.remove('ada')).toBe('done');
    expect(await login(made, 'ada', 'pen')).toBe('unknown');
    expect([await made.setPassword('ada', 'x'), made.remove('ada')]).toEqual([
      'unknown',
      'unknown',
    ]);
  });

  it('leaves those of the configuration alone', async () => {
    const made = users();
    expect(await made.setPassword('guest', 'x')).toBe('configured');
    expect(made.remove('guest')).toBe('configured');
    expect(await login(made, 'guest', 'guest')).toBe('guest');
  });

  it('stands back where the configuration has taken its name since', async () => {
    const store = new MemoryStore();
    store.table('accounts').set(
      'guest',
      Buffer.from(
        JSON.stringify({
          name: 'guest',
          passwordHash: await hashPassword('other'),
          tags: [],
          permissions: {},
        }),
      ),
    );
    expect(await login(users(store), 'guest', 'guest')).toBe('guest');
    expect(users(store).names()).toEqual(['guest']);
  });
});
