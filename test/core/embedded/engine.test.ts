import { createWorld } from '../../support/world.ts';
import { engineContract } from '../engine-contract.ts';

engineContract('embedded, memory store', () => ({ ...createWorld(), flush: () => {} }));
