"""The tasks of celery_work.py; a worker serves them: `celery -A celery_tasks worker`."""
import os

from celery import Celery
from celery.exceptions import Reject

app = Celery('tasks', broker=os.environ['BROKER_URL'], backend='rpc://')
app.conf.update(worker_send_task_events=True, result_expires=60, task_acks_late=True)


@app.task
def add(x, y):
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def fail():
    raise ValueError('no')


@app.task
def refuse():
    raise Reject('not for me', requeue=False)
