"""AMQP 0-9-1 with pika: publishes with a confirm, or takes one message and acknowledges it."""
import pika

import client


def main():
    action, port, queue = client.arguments()
    credentials = pika.PlainCredentials(client.USER, client.PASSWORD)
    parameters = pika.ConnectionParameters("127.0.0.1", port, "/", credentials)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        if action == "send":
            send(channel, queue)
        else:
            receive(channel, queue)


def send(channel, queue):
    channel.confirm_delivery()
    name, value = client.HEADER
    properties = pika.BasicProperties(
        content_type=client.CONTENT_TYPE,
        correlation_id=client.CORRELATION_ID,
        headers={name: value},
        delivery_mode=2,
    )
    channel.basic_publish("", queue, client.BODY.encode(), properties, mandatory=True)


def receive(channel, queue):
    for method, properties, body in channel.consume(queue):
        headers = properties.headers or {}
        colour = headers.get(client.HEADER[0])
        client.show(body.decode(), properties.content_type, properties.correlation_id, colour)
        channel.basic_ack(method.delivery_tag)
        break
    channel.cancel()


main()
