"""What programs do with aioamqp, which greets with AMQP 0-9. Argument: the port. Prints what came of it."""
import asyncio
import json
import sys

import aioamqp

WAIT_SECONDS = 20


async def main():
    transport, protocol = await aioamqp.connect('127.0.0.1', int(sys.argv[1]))
    channel = await protocol.channel()
    await channel.confirm_select()
    queue = (await channel.queue_declare('', exclusive=True))['queue']
    await channel.exchange_declare('by-headers', 'headers', auto_delete=True)
    await channel.queue_bind(queue, 'by-headers', '', arguments={'x-match': 'all', 'kind': 'wanted'})
    for kind in ('other', 'wanted'):
        properties = {'headers': {'kind': kind}, 'delivery_mode': 2}
        await channel.publish(kind.encode(), 'by-headers', '', properties=properties)
    got = asyncio.get_running_loop().create_future()

    async def take(channel, body, envelope, properties):
        await channel.basic_client_ack(envelope.delivery_tag)
        got.set_result([body.decode(), properties.headers, envelope.is_redeliver])

    await channel.basic_qos(prefetch_count=1)
    await channel.basic_consume(take, queue)
    said = await asyncio.wait_for(got, WAIT_SECONDS)
    await protocol.close()
    transport.close()
    print(json.dumps(said))


asyncio.run(main())
