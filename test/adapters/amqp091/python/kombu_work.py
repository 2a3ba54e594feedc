"""What programs do with Kombu. Argument: the port. Prints what came of it."""
import json
import socket
import sys

from kombu import Connection, Consumer, Exchange, Queue
from kombu.common import Broadcast
from kombu.pools import producers

WAIT_SECONDS = 20
said = {}
connection = Connection(
    'amqp://guest:guest@127.0.0.1:%s//' % sys.argv[1],
    heartbeat=30,
    transport_options={'confirm_publish': True},
)
connection.ensure_connection(max_retries=3)
# Celery shares its prefetch over a channel's consumers only where this is false, as RabbitMQ has it.
said['spec_qos'] = connection.qos_semantics_matches_spec
producer = connection.Producer(serializer='json')

media = Exchange('media', 'direct', durable=True)
video = Queue('video', exchange=media, routing_key='video', max_priority=5, expires=60, message_ttl=30)
got = []


def take(body, message):
    got.append([body, message.content_type, message.properties.get('priority')])
    message.ack()


producer.publish({'n': [1, 2]}, exchange=media, routing_key='video', declare=[video], priority=3, retry=True)
producer.publish({'z': 1}, exchange=media, routing_key='video', compression='zlib')
with connection.Consumer(video, callbacks=[take], prefetch_count=2):
    while len(got) < 2:
        connection.drain_events(timeout=WAIT_SECONDS)
said['got'] = got

simple = connection.SimpleQueue('simple')
simple.put({'x': 1})
message = simple.get(timeout=WAIT_SECONDS)
message.ack()
said['simple'] = [message.payload, simple.qsize()]
simple.close()

everybody = Exchange('everybody', 'fanout', auto_delete=True)
hits = []


def hit(name):
    def take(body, message):
        hits.append([name, body])
        message.ack()

    return take


with connection.channel() as channel:
    first = connection.Consumer([Broadcast('one', exchange=everybody)], callbacks=[hit('one')])
    second = Consumer(channel, [Broadcast('two', exchange=everybody)], callbacks=[hit('two')])
    with first, second:
        producer.publish('all', exchange='everybody', routing_key='')
        while len(hits) < 2:
            connection.drain_events(timeout=WAIT_SECONDS)
said['broadcast'] = sorted(hits)

dead = Queue('dead', Exchange('dead', 'fanout'))
work = Queue('work', Exchange('work'), routing_key='work', queue_arguments={'x-dead-letter-exchange': 'dead'})
for queue in (dead, work):
    queue(connection.default_channel).declare()
producer.publish('x', exchange='work', routing_key='work')
seen = []
with connection.Consumer(work, callbacks=[lambda body, message: (seen.append('rejected'), message.reject())]):
    while not seen:
        connection.drain_events(timeout=WAIT_SECONDS)
buried = []
with connection.Consumer(dead, callbacks=[lambda body, message: (buried.append(message), message.ack())]):
    while not buried:
        connection.drain_events(timeout=WAIT_SECONDS)
said['dead'] = buried[0].headers['x-death'][0]['reason']

with producers[connection].acquire(block=True) as pooled:
    pooled.publish('pooled', exchange='', routing_key='simple')
try:
    with connection.Consumer(Queue('silent', exclusive=True), callbacks=[take]):
        connection.drain_events(timeout=0.1)
except socket.timeout:
    said['silent'] = True
connection.release()
print(json.dumps(said))
