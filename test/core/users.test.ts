import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashPassword, isPasswordHash, UserDirectory, type UserSpec } from '../../core/users.ts';
import { PEER } from '../support/world.ts';

const REMOTE = { ...PEER, loopback: false };
const PERMISSIONS = { '/': { configure: '^mine-', write: '', read: '.*' } };

function user(parts: Partial<UserSpec>): UserSpec {
  return { name: 'ada', tags: [], permissions: PERMISSIONS, ...parts };
}

async function login(spec: UserSpec, password: string, peer = PEER): Promise<unknown> {
  const directory = new UserDirectory([spec], ['guest']);
  const answer = await directory.authenticate(
    { kind: 'password', user: spec.name, password },
    peer,
  );
  return typeof answer === 'string' ? answer : answer.name;
}

describe('a user', () => {
  it('comes in with the password in the clear', async () => {
    expect(await login(user({ password: 'péncil' }), 'péncil')).toBe('ada');
    expect(await login(user({ password: 'péncil' }), 'pencil')).toBe('refused');
    expect(await login(user({ password: 'péncil' }), '')).toBe('refused');
  });

  it("comes in with RabbitMQ's password_hash", async () => {
    // From RabbitMQ's documentation of the algorithm: salt 908DC60A, password test12.
    const passwordHash = 'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR';
    expect(await login(user({ passwordHash }), 'test12')).toBe('ada');
    expect(await login(user({ passwordHash }), 'test13')).toBe('refused');
  });

  it('comes in with a SCRAM hash, as hash-password prints it', async () => {
    const passwordHash = await hashPassword('pencil');
    expect(passwordHash).toMatch(/^SCRAM-SHA-256\$\d+:/);
    expect(await login(user({ passwordHash }), 'pencil')).toBe('ada');
    expect(await login(user({ passwordHash }), 'Pencil')).toBe('refused');
  });

  it('is refused from elsewhere where only this machine may, and unknown where there is none', async () => {
    const guest = user({ name: 'guest', password: 'guest' });
    expect(await login(guest, 'guest')).toBe('guest');
    expect(await login(guest, 'guest', REMOTE)).toBe('refused');
    expect(await login(user({ password: 'x' }), 'x', REMOTE)).toBe('ada');
    const directory = new UserDirectory([guest], []);
    expect(await directory.authenticate({ kind: 'trusted', user: 'nobody' }, PEER)).toBe('unknown');
    expect([directory.exists('guest'), directory.exists('nobody')]).toEqual([true, false]);
  });

  it('may do what its patterns say, and nothing where they are empty', async () => {
    const directory = new UserDirectory([user({ password: 'x' })], []);
    const ada = await directory.authenticate({ kind: 'trusted', user: 'ada' }, PEER);
    if (typeof ada === 'string') throw new Error(ada);
    const permission = ada.permissions.get('/');
    expect(permission?.configure.test('mine-queue')).toBe(true);
    expect(permission?.configure.test('yours')).toBe(false);
    expect(permission?.write.test('anything')).toBe(false);
    expect(permission?.read.test('anything')).toBe(true);
    expect(ada.permissions.get('other')).toBeUndefined();
  });
});

describe('SCRAM keys', () => {
  it('are those of the RFC 7677 example', async () => {
    // RFC 7677 section 3: user, pencil, salt W22ZaJ0SNY7soEsUEjb6gQ==, 4096 iterations.
    const salt = 'W22ZaJ0SNY7soEsUEjb6gQ==';
    const storedKey = 'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=';
    const serverKey = 'wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=';
    const passwordHash = `SCRAM-SHA-256$4096:${salt}$${storedKey}:${serverKey}`;
    const directory = new UserDirectory([user({ passwordHash })], []);
    const keys = await directory.scram('ada', 'sha256');
    expect(keys?.storedKey.toString('base64')).toBe(storedKey);
    expect(await directory.scram('ada', 'sha1')).toBeNull();
    expect(await login(user({ passwordHash }), 'pencil')).toBe('ada');
  });

  it('are made of a password in the clear, once, and normalised', async () => {
    const directory = new UserDirectory([user({ password: '\u2168' })], []);
    const keys = await directory.scram('ada', 'sha1');
    expect(keys?.iterations).toBeGreaterThanOrEqual(4096);
    expect(createHash('sha1').digest().length).toBe(keys?.storedKey.length);
    expect(await directory.scram('ada', 'sha1')).toBe(keys);
    const { salt, iterations, storedKey, serverKey } =
      (await directory.scram('ada', 'sha256')) ?? {};
    const [s, st, se] = [salt, storedKey, serverKey].map((bytes) => bytes?.toString('base64'));
    const passwordHash = `SCRAM-SHA-256$${iterations}:${s}$${st}:${se}`;
    // NFKC: U+2168 is IX (RFC 4013).
    expect(await login(user({ passwordHash }), 'IX')).toBe('ada');
  });

  it('are not there for an unknown user and a digest', async () => {
    const directory = new UserDirectory(
      [user({ passwordHash: Buffer.alloc(36).toString('base64') })],
      [],
    );
    expect(await directory.scram('ada', 'sha256')).toBeNull();
    expect(await directory.scram('nobody', 'sha256')).toBeNull();
  });

  it('have a form that is told from others', () => {
    expect(isPasswordHash('kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR')).toBe(true);
    for (const text of ['', 'secret', 'SCRAM-SHA-256$x:a$b:c', 'SCRAM-SHA-1$4096:a$b:c']) {
      expect([text, isPasswordHash(text)]).toEqual([text, false]);
    }
  });
});
