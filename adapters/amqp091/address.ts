/**
 * Addresses as AMQP clients publish to them through the default exchange: a queue's name, or
 * `amq.to:EXCHANGE/KEY` for any other. (An exchange and a key say the same, in two fields.)
 */
import { addressFromReplyKey, addressToReplyKey, REPLY_PREFIX } from '../../core/address.ts';
import type { AddressForm } from '../../core/explain.ts';

export const amqpAddresses: AddressForm = {
  protocol: 'amqp',
  describe: (address) => {
    // A queue of such a name can only be said by exchange and key.
    const misread = address.exchange === '' && address.routingKey.startsWith(REPLY_PREFIX);
    const key = misread ? '' : addressToReplyKey(address);
    return key === '' ? null : key;
  },
  parse: (text) => (text === '' ? null : addressFromReplyKey(text)),
};
