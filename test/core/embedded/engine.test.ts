import { LateStore } from '../../support/late-store.ts';
import { createWorld } from '../../support/world.ts';
import { engineContract, type Subject } from '../engine-contract.ts';
import { policyContract } from '../policy-contract.ts';
import { queueContract } from '../queue-contract.ts';

for (const contract of [engineContract, queueContract, policyContract]) {
  contract('embedded, memory store', () => ({ ...createWorld(), flush: () => {} }));
  contract('embedded, late store', late);
}

function late(): Subject {
  const store = new LateStore();
  return { ...createWorld({ store }), flush: () => store.answer() };
}
