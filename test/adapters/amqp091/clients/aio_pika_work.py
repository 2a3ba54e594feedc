"""The work of ../client-work.test.ts with aio-pika. Argument: the port. Prints what came of it."""
import asyncio
import json
import sys

import aio_pika
from aio_pika.exceptions import ChannelNotFoundEntity, PublishError

WAIT_SECONDS = 20
URL = 'amqp://guest:guest@127.0.0.1:%s/' % sys.argv[1]
DURABLE = aio_pika.DeliveryMode.PERSISTENT
# It writes doubles as texts, and small negative numbers not at all.
HEADERS = {
    'int': 1, 'large': 2**40, 'text': 'süß', 'true': True, 'null': None,
    'list': [1, 'zwei', [False]], 'table': {'in': {'deep': 7}},
}


async def inbox(queue, **options):
    """Consumes a queue; answers a function that waits for its next delivery, and the consumer's tag."""
    messages = asyncio.Queue()
    tag = await queue.consume(messages.put, **options)
    return lambda: asyncio.wait_for(messages.get(), WAIT_SECONDS), tag


async def deliver(channel, jobs, said):
    graves = await channel.declare_exchange('graves', 'fanout', durable=True)
    buried = await channel.declare_queue('buried', durable=True)
    await buried.bind(graves)
    arguments = {'x-dead-letter-exchange': 'graves'}
    work = await channel.declare_queue('work', durable=True, arguments=arguments)
    await work.bind(jobs, 'job.*')
    messages = [aio_pika.Message(b'%d' % number, delivery_mode=DURABLE) for number in range(10)]
    confirms = [jobs.publish(message, 'job.%d' % number) for number, message in enumerate(messages)]
    said['confirmed'] = sum(confirm.name == 'Basic.Ack' for confirm in await asyncio.gather(*confirms))

    await channel.set_qos(3)
    take, tag = await inbox(work)
    held = [await take() for _ in range(3)]
    passive = await channel.declare_queue('work', passive=True, robust=False)
    said['waiting'] = passive.declaration_result.message_count
    await held[0].nack(requeue=True)
    again = await take()
    said['redelivered'] = [again.body.decode(), again.redelivered]
    await again.ack(multiple=True)
    for _ in range(7):
        held.append(await take())
        if held[-1].body != b'9':
            await held[-1].ack()
    await held[-1].reject(requeue=False)
    said['consumed'] = [message.body.decode() for message in held]
    await work.cancel(tag)
    exhume, _ = await inbox(buried, no_ack=True)
    dead = await exhume()
    death = dead.headers['x-death'][0]
    said['buried'] = [dead.body.decode(), *(death[name] for name in ('reason', 'queue', 'count', 'routing-keys'))]


async def describe(channel, said):
    echo = await channel.declare_queue(exclusive=True)
    typed = aio_pika.Message(b'typed', headers=HEADERS, message_id='m-1', priority=4, expiration=60, type='kind')
    await channel.default_exchange.publish(typed, echo.name)
    got = await echo.get(no_ack=True, timeout=WAIT_SECONDS)
    said['headers'] = got.headers == HEADERS
    said['properties'] = [got.message_id, got.priority, '%d' % (got.expiration * 1000), got.type]
    try:
        await channel.default_exchange.publish(aio_pika.Message(b'lost'), 'nowhere', mandatory=True)
    except PublishError as error:
        back = error.message
        said['returned'] = [back.delivery.reply_code, back.delivery.reply_text, back.body.decode()]


async def call(connection, said):
    serving, asking = await connection.channel(), await connection.channel()

    async def serve(request):
        answer = aio_pika.Message(request.body.upper(), correlation_id=request.correlation_id)
        await serving.default_exchange.publish(answer, request.reply_to)

    await (await serving.declare_queue('rpc', exclusive=True)).consume(serve, no_ack=True)
    replies = await asking.get_queue('amq.rabbitmq.reply-to', ensure=False)
    take, _ = await inbox(replies, no_ack=True)
    for text in ('a', 'b', 'c'):
        request = aio_pika.Message(text.encode(), reply_to=replies.name, correlation_id='c-' + text)
        await asking.default_exchange.publish(request, 'rpc')
    answers = [await take() for _ in range(3)]
    said['answers'] = [[answer.correlation_id, answer.body.decode()] for answer in answers]
    # A place for answers cannot be declared again, as recovery would.
    await asking.close()
    try:
        await (await connection.channel()).declare_queue('none', passive=True)
    except ChannelNotFoundEntity as error:
        said['missing'] = [404, str(error)]


async def recover(connection, channel, jobs, said):
    """The gateway is replaced by one that knows nothing: all that was declared has to come back."""
    watching = await channel.declare_queue(exclusive=True)
    await watching.bind(jobs, 'event.#')
    take, _ = await inbox(watching, no_ack=True)
    recovered = asyncio.Event()
    connection.reconnect_callbacks.add(lambda *_: recovered.set())
    await channel.default_exchange.publish(aio_pika.Message(b''), 'restart')
    await asyncio.wait_for(recovered.wait(), WAIT_SECONDS)
    await jobs.publish(aio_pika.Message(b'after'), 'event.new')
    said['recovered'] = (await take()).body.decode()


async def main():
    said = {}
    connection = await aio_pika.connect_robust(URL, reconnect_interval=0.1)
    channel = await connection.channel(on_return_raises=True)
    jobs = await channel.declare_exchange('jobs', 'topic', durable=True)
    await deliver(channel, jobs, said)
    await describe(channel, said)
    await call(connection, said)
    await recover(connection, channel, jobs, said)
    await connection.close()
    print(json.dumps(said))


asyncio.run(main())
