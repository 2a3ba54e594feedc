"""What users do with Celery: results, retries, ETA, events, remote control. Prints what came of it."""
import json
import threading
import time

from celery import group
from celery_tasks import add, app, fail, flaky

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
assert failed.wait(WAIT_SECONDS)
said['events'] = sorted(events - {'worker-heartbeat', 'worker-online'})
said['purged'] = app.control.purge()
app.control.shutdown()
print(json.dumps(said))
