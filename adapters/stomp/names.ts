/** Header names that frames are asked for. */
import { headerName } from './header-name.ts';

export const ACCEPT_VERSION = headerName('accept-version');
export const ACK = headerName('ack');
export const AUTO_DELETE = headerName('auto-delete');
export const CLIENT_ID = headerName('client-id');
export const DESTINATION = headerName('destination');
export const DURABLE = headerName('durable');
export const EXCLUSIVE = headerName('exclusive');
export const EXPIRATION = headerName('expiration');
export const EXPIRES = headerName('expires');
export const HEART_BEAT = headerName('heart-beat');
export const HOST = headerName('host');
export const ID = headerName('id');
export const LOGIN = headerName('login');
export const MANDATORY = headerName('mandatory');
export const MESSAGE_ID = headerName('message-id');
export const PASSCODE = headerName('passcode');
export const PERSISTENT = headerName('persistent');
export const PREFETCH_COUNT = headerName('prefetch-count');
export const PRIORITY = headerName('priority');
export const RECEIPT = headerName('receipt');
export const REPLY_TO = headerName('reply-to');
export const REQUEST_ID = headerName('request-id');
export const REQUEUE = headerName('requeue');
export const RETAIN = headerName('retain');
export const SELECTOR = headerName('selector');
export const SUBSCRIPTION = headerName('subscription');
export const TIMESTAMP = headerName('timestamp');
export const TRANSACTION = headerName('transaction');
export const USER_ID = headerName('user-id');
export const X_PRIORITY = headerName('x-priority');
export const X_QUEUE_NAME = headerName('x-queue-name');

export const AMQ_EXCLUSIVE = headerName('activemq.exclusive');
/** Messages that wait for a slow subscriber to a topic; older ones go. */
export const AMQ_PENDING = headerName('activemq.maximumPendingMessageLimit');
export const AMQ_NO_LOCAL = headerName('activemq.noLocal');
export const AMQ_PREFETCH = headerName('activemq.prefetchSize');
export const AMQ_PRIORITY = headerName('activemq.priority');
export const AMQ_RETROACTIVE = headerName('activemq.retroactive');
/** ActiveMQ Classic's name for a durable subscription, then Artemis's and Apollo's. */
export const SUBSCRIPTION_NAMES = [
  headerName('activemq.subscriptionName'),
  headerName('durable-subscription-name'),
  headerName('durable-subscriber-name'),
] as const;
export const AMQ_BROWSER = headerName('browser');
export const AMQ_SCHEDULER_ACTION = headerName('AMQ_SCHEDULER_ACTION');
export const TRANSFORMATION = headerName('transformation');
export const AMQ_SCHEDULED_DELAY = headerName('AMQ_SCHEDULED_DELAY');
export const AMQ_SCHEDULED_PERIOD = headerName('AMQ_SCHEDULED_PERIOD');
export const AMQ_SCHEDULED_REPEAT = headerName('AMQ_SCHEDULED_REPEAT');
export const AMQ_SCHEDULED_CRON = headerName('AMQ_SCHEDULED_CRON');
