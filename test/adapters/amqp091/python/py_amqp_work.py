"""What programs do with py-amqp. Argument: the port. Prints what came of it."""
import json
import sys

import amqp

HOST = '127.0.0.1:' + sys.argv[1]
said = {}
connection = amqp.Connection(HOST, heartbeat=30, confirm_publish=True)
connection.connect()
channel = connection.channel()
channel.exchange_declare('py-amqp', 'topic', auto_delete=True)
queue, _, _ = channel.queue_declare('', exclusive=True, auto_delete=False)
channel.queue_bind(queue, 'py-amqp', 'a.#')
headers = {'i': 1, 'big': 2**40, 'f': 1.5, 't': {'l': [1, 'zwei', None, True]}, 's': 'süß'}
sent = amqp.Message('hi', content_type='text/plain', application_headers=headers, delivery_mode=2, priority=4)
channel.basic_publish(sent, 'py-amqp', 'a.b')
got = channel.basic_get(queue)
said['got'] = [got.body, got.headers == headers, got.priority, got.delivery_info['routing_key']]
channel.basic_ack(got.delivery_tag)

bodies = []


def take(message):
    bodies.append(message.body)
    channel.basic_ack(message.delivery_tag)


channel.basic_qos(0, 1, False)
channel.basic_consume(queue, callback=take)
for number in range(5):
    channel.basic_publish(amqp.Message(str(number)), 'py-amqp', 'a.%d' % number)
while len(bodies) < 5:
    connection.drain_events(timeout=20)
said['consumed'] = bodies

returned = []
channel.events['basic_return'].add(lambda error, exchange, key, message: returned.append([error.reply_code, key]))
channel.basic_publish(amqp.Message('lost'), 'py-amqp', 'zzz', mandatory=True)
said['returned'] = returned
try:
    channel.queue_declare('none', passive=True)
except amqp.NotFound as error:
    said['not_found'] = error.reply_text

channel = connection.channel()
channel.queue_declare('py-full', auto_delete=False, arguments={'x-max-length': 1, 'x-overflow': 'reject-publish', 'x-expires': 2**33})
channel.basic_publish(amqp.Message('a'), '', 'py-full')
try:
    channel.basic_publish(amqp.Message('b'), '', 'py-full')
except amqp.exceptions.MessageNacked:
    said['nacked'] = True
said['counts'] = [channel.queue_purge('py-full'), channel.queue_delete('py-full')]
channel.basic_recover(requeue=True)
channel.flow(True)
connection.send_heartbeat()
connection.close()
try:
    amqp.Connection(HOST, password='bad').connect()
except amqp.AccessRefused as error:
    said['refused'] = error.reply_code
with amqp.Connection(HOST, login_method='AMQPLAIN') as plain:
    said['amqplain'] = plain.connected
print(json.dumps(said))
