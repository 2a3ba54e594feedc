"""RPC and notifications as OpenStack's services do them. Prints what came of it.

Arguments: the port, then options of oslo.config.
"""
import json
import logging
import sys
import threading
import warnings

warnings.filterwarnings('ignore')
import oslo_messaging
from oslo_config import cfg

WAIT_SECONDS = 30
logging.disable(logging.CRITICAL)
said = {}
cfg.CONF(sys.argv[2:])
url = 'rabbit://guest:guest@127.0.0.1:%s/' % sys.argv[1]
transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=url)
seen, noted = [], threading.Semaphore(0)


class Endpoint:
    target = oslo_messaging.Target(version='1.1')

    def __init__(self, name):
        self.name = name

    def add(self, context, x, y):
        return {'sum': x + y, 'user': context.get('user')}

    def boom(self, context):
        raise ValueError('boom')

    def note(self, context, what):
        seen.append([self.name, what])
        noted.release()


def server_of(name):
    target = oslo_messaging.Target(topic='calc', server=name)
    server = oslo_messaging.get_rpc_server(transport, target, [Endpoint(name)], executor='threading')
    server.start()
    return server


servers = [server_of(name) for name in ('one', 'two')]
target = oslo_messaging.Target(topic='calc', version='1.1')
client = oslo_messaging.RPCClient(transport, target, timeout=WAIT_SECONDS)
said['sums'] = [client.call({}, 'add', x=i, y=1)['sum'] for i in range(10)]
said['user'] = client.prepare(server='two').call({'user': 'u'}, 'add', x=1, y=1)['user']
try:
    client.call({}, 'boom')
except ValueError as error:
    said['error'] = str(error).splitlines()[0]
client.prepare(fanout=True).cast({}, 'note', what='all')
for _ in servers:
    assert noted.acquire(timeout=WAIT_SECONDS)
said['fanout'] = sorted(seen)
seen.clear()
client.prepare(server='one').cast({}, 'note', what='direct')
assert noted.acquire(timeout=WAIT_SECONDS)
said['cast'] = list(seen)
try:
    client.prepare(topic='nobody', timeout=1).call({}, 'add', x=1, y=1)
except oslo_messaging.MessagingTimeout:
    said['timeout'] = True
for server in servers:
    server.stop()
    server.wait()

notifications = oslo_messaging.get_notification_transport(cfg.CONF, url=url)
notes, arrived = [], threading.Semaphore(0)


class Listener:
    def info(self, context, publisher_id, event_type, payload, metadata):
        notes.append(['info', publisher_id, event_type, payload])
        arrived.release()

    def error(self, context, publisher_id, event_type, payload, metadata):
        again = ['error', payload] in notes
        notes.append(['error', payload])
        arrived.release()
        if not again:
            return oslo_messaging.NotificationResult.REQUEUE


target = oslo_messaging.Target(topic='notifications')
listener = oslo_messaging.get_notification_listener(
    notifications, [target], [Listener()], executor='threading', allow_requeue=True
)
listener.start()
notifier = oslo_messaging.Notifier(notifications, 'host', driver='messagingv2', topics=['notifications'])
notifier.info({}, 'instance.create', {'id': 7})
assert arrived.acquire(timeout=WAIT_SECONDS)
notifier.error({}, 'instance.fail', {'id': 8})
for _ in range(2):
    assert arrived.acquire(timeout=WAIT_SECONDS)
listener.stop()
listener.wait()
said['notes'] = notes
print(json.dumps(said))
