"""RabbitMQ's seven tutorials with pika. Argument: the port. Prints what came of each."""
import json
import sys

import pika

WAIT_SECONDS = 20
PARAMETERS = pika.ConnectionParameters('127.0.0.1', int(sys.argv[1]))


def connect():
    return pika.BlockingConnection(PARAMETERS)


def received(channel, queue, count):
    """The next messages of a queue, acknowledged: pairs of routing key and text."""
    got = []
    for method, _, body in channel.consume(queue, inactivity_timeout=WAIT_SECONDS):
        assert method, 'nothing came'
        channel.basic_ack(method.delivery_tag)
        got.append([method.routing_key, body.decode()])
        if len(got) == count:
            break
    channel.cancel()
    return got


def hello_world():
    with connect() as sender:
        channel = sender.channel()
        channel.queue_declare(queue='hello')
        channel.basic_publish(exchange='', routing_key='hello', body='Hello World!')
    with connect() as receiver:
        channel = receiver.channel()
        channel.queue_declare(queue='hello')
        return received(channel, 'hello', 1)


def work_queues():
    """Two workers that take one task at a time: who is still busy gets no other."""
    with connect() as connection:
        tasks = connection.channel()
        tasks.queue_declare(queue='task_queue', durable=True)
        for number in range(5):
            properties = pika.BasicProperties(delivery_mode=2)
            tasks.basic_publish('', 'task_queue', 'task %d' % number, properties)
        done = {'busy': [], 'quick': []}

        def busy(channel, method, properties, body):
            done['busy'].append(body.decode())

        def quick(channel, method, properties, body):
            done['quick'].append(body.decode())
            channel.basic_ack(delivery_tag=method.delivery_tag)

        for worker in (busy, quick):
            channel = connection.channel()
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume(queue='task_queue', on_message_callback=worker)
        while sum(map(len, done.values())) < 5:
            connection.process_data_events(time_limit=WAIT_SECONDS)
    # What the busy worker had not done when it went is somebody else's now.
    with connect() as connection:
        done['left'] = received(connection.channel(), 'task_queue', 1)
    return done


def bound(channel, exchange, keys):
    queue = channel.queue_declare(queue='', exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)
    return queue


def publish_subscribe():
    with connect() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange='logs', exchange_type='fanout')
        queues = [bound(channel, 'logs', ['']) for _ in range(2)]
        channel.basic_publish(exchange='logs', routing_key='', body='info: Hello')
        return [received(channel, queue, 1)[0][1] for queue in queues]


def routing():
    with connect() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange='direct_logs', exchange_type='direct')
        disk = bound(channel, 'direct_logs', ['error'])
        screen = bound(channel, 'direct_logs', ['info', 'warning', 'error'])
        for severity in ('info', 'error', 'debug', 'warning'):
            channel.basic_publish('direct_logs', severity, 'a message')
        taken = [received(channel, queue, count) for queue, count in ((disk, 1), (screen, 3))]
        return [[key for key, _ in messages] for messages in taken]


def topics():
    with connect() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange='topic_logs', exchange_type='topic')
        patterns = (['#'], ['kern.*'], ['*.critical'], ['kern.*', '*.critical'])
        queues = [bound(channel, 'topic_logs', keys) for keys in patterns]
        for key in ('kern.critical', 'cron.warning', 'cron.critical', 'kern.info'):
            channel.basic_publish('topic_logs', key, 'A critical kernel error')
        return [channel.queue_declare(queue, passive=True).method.message_count for queue in queues]


def remote_procedure_calls():
    with connect() as connection:
        channel = connection.channel()
        channel.queue_declare(queue='rpc_queue')

        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)

        def on_request(ch, method, props, body):
            properties = pika.BasicProperties(correlation_id=props.correlation_id)
            ch.basic_publish('', props.reply_to, str(fib(int(body))), properties)
            ch.basic_ack(delivery_tag=method.delivery_tag)

        channel.basic_consume(queue='rpc_queue', on_message_callback=on_request)
        callback_queue = channel.queue_declare(queue='', exclusive=True).method.queue
        answers = {}

        def on_response(ch, method, props, body):
            answers[props.correlation_id] = int(body)

        channel.basic_consume(queue=callback_queue, on_message_callback=on_response, auto_ack=True)
        for n in (1, 10, 15):
            properties = pika.BasicProperties(reply_to=callback_queue, correlation_id='fib-%d' % n)
            channel.basic_publish('', 'rpc_queue', str(n), properties)
        while len(answers) < 3:
            connection.process_data_events(time_limit=WAIT_SECONDS)
        return answers


def publisher_confirms():
    """Confirms one by one, and in the asynchronous way: how many came for 100 messages."""
    with connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare(queue='', exclusive=True).method.queue
        channel.confirm_delivery()
        for number in range(50):
            channel.basic_publish('', queue, str(number), mandatory=True)
    confirmed = []

    def on_open(connection):
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel):
        channel.confirm_delivery(lambda frame: on_confirm(channel, frame.method))
        channel.queue_declare('', exclusive=True, callback=lambda frame: publish(channel, frame.method.queue))

    def publish(channel, queue):
        for number in range(50):
            channel.basic_publish('', queue, str(number))

    def on_confirm(channel, method):
        assert isinstance(method, pika.spec.Basic.Ack)
        first = confirmed[-1] + 1 if confirmed else 1
        confirmed.extend(range(first, method.delivery_tag + 1) if method.multiple else [method.delivery_tag])
        if len(confirmed) == 50:
            channel.connection.close()

    connection = pika.SelectConnection(
        PARAMETERS,
        on_open_callback=on_open,
        on_close_callback=lambda connection, reason: connection.ioloop.stop(),
    )
    connection.ioloop.start()
    return sorted(confirmed) == list(range(1, 51))


TUTORIALS = [
    hello_world, work_queues, publish_subscribe, routing, topics, remote_procedure_calls, publisher_confirms
]
print(json.dumps([tutorial() for tutorial in TUTORIALS]))
