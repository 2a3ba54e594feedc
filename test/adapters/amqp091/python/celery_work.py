"""What users do with Celery: results, workflows, retries, ETA, events, remote control, dead letters.

Prints what came of it.
"""
import json
import threading
import time

from celery import group
from celery_tasks import add, app, fail, flaky, refuse
from kombu import Queue

WAIT_SECONDS = 60


def until(ask):
    """Asks until there is an answer."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
    raise TimeoutError(ask)


def inspected(what):
    """What the one worker says of itself."""
    replies = getattr(app.control.inspect(timeout=WAIT_SECONDS, limit=1), what)()
    return list((replies or {}).values())[0] if replies else None


events = set()
first, failed = threading.Event(), threading.Event()


def note(event):
    events.add(event['type'])
    first.set()
    if event['type'] == 'task-failed':
        failed.set()


def watch():
    with app.connection() as connection:
        app.events.Receiver(connection, handlers={'*': note}).capture(wakeup=False)


said = {'ping': until(lambda: app.control.inspect(timeout=2, limit=1).ping())}
said['ping'] = list(said['ping'].values())
threading.Thread(target=watch, daemon=True).start()
assert first.wait(WAIT_SECONDS)
said['add'] = add.delay(2, 3).get(timeout=WAIT_SECONDS)
said['group'] = group(add.s(i, i) for i in range(20)).apply_async().get(timeout=WAIT_SECONDS)
said['chain'] = (add.s(1, 2) | add.s(3) | add.s(4)).apply_async().get(timeout=WAIT_SECONDS)
said['retries'] = flaky.delay().get(timeout=WAIT_SECONDS)
asked = time.time()
said['eta'] = add.apply_async((1, 1), countdown=1).get(timeout=WAIT_SECONDS)
said['eta_kept'] = time.time() - asked >= 0.9
try:
    fail.delay().get(timeout=WAIT_SECONDS)
except ValueError as error:
    said['failure'] = str(error)
said['queues'] = [queue['name'] for queue in inspected('active_queues')]
later = add.apply_async((1, 1), countdown=600)
said['scheduled'] = [entry['request']['id'] == later.id for entry in until(lambda: inspected('scheduled'))]
later.revoke()
said['revoked'] = until(lambda: later.id in (inspected('revoked') or []))
limited = app.control.rate_limit('celery_tasks.add', '1000/s', reply=True, timeout=WAIT_SECONDS, limit=1)
said['limited'] = list(limited[0].values())
assert failed.wait(WAIT_SECONDS)
said['events'] = sorted(events - {'worker-heartbeat', 'worker-online'})

# A queue with arguments that the worker is told to serve, too; what it refuses is a dead letter.
dead = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'buried', 'x-max-priority': 5}
sorted_out = Queue('sorted-out', routing_key='sorted-out', queue_arguments=dead)
with app.connection() as connection, connection.channel() as channel:
    Queue('buried')(channel).declare()
    refuse.apply_async(queue=sorted_out, priority=3)
    options = {'queue_arguments': dead}
    app.control.add_consumer('sorted-out', routing_key='sorted-out', options=options, reply=True, limit=1)
    buried = until(lambda: Queue('buried')(channel).get(no_ack=True))
    said['refused'] = [buried.headers['task'], buried.headers['x-death'][0]['reason'], buried.properties['priority']]
app.control.cancel_consumer('sorted-out', reply=True, limit=1)
said['purged'] = app.control.purge()
app.control.shutdown()
print(json.dumps(said))
