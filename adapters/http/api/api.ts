/** The HTTP API below `/api`, in the form of RabbitMQ's: every resource's routes. */
import { BINDING_ROUTES } from './bindings.ts';
import { CONNECTION_ROUTES } from './connections.ts';
import { DEFINITION_ROUTES } from './definitions.ts';
import { EXCHANGE_ROUTES } from './exchanges.ts';
import { HEALTH_ROUTES } from './health.ts';
import { LIMIT_ROUTES } from './limits.ts';
import { OVERVIEW_ROUTES } from './overview.ts';
import { PERMISSION_ROUTES } from './permissions.ts';
import { POLICY_ROUTES } from './policies.ts';
import { QUEUE_ROUTES } from './queues.ts';
import type { Route } from './route.ts';
import { USER_ROUTES } from './users.ts';
import { VHOST_ROUTES } from './vhosts.ts';

export const ROUTES: readonly Route[] = [
  ...OVERVIEW_ROUTES,
  ...HEALTH_ROUTES,
  ...DEFINITION_ROUTES,
  ...VHOST_ROUTES,
  ...USER_ROUTES,
  ...PERMISSION_ROUTES,
  ...LIMIT_ROUTES,
  ...POLICY_ROUTES,
  ...EXCHANGE_ROUTES,
  ...QUEUE_ROUTES,
  ...BINDING_ROUTES,
  ...CONNECTION_ROUTES,
];
