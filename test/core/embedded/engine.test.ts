import { createWorld } from '../../support/world.ts';
import { engineContract } from '../engine-contract.ts';
import { queueContract } from '../queue-contract.ts';

for (const contract of [engineContract, queueContract]) {
  contract('embedded, memory store', () => ({ ...createWorld(), flush: () => {} }));
}
