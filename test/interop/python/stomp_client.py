"""STOMP 1.2 with stomp.py: sends with a receipt, or takes one message and acknowledges it."""
import threading

import stomp

import client


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.receipt = threading.Event()
        self.arrived = threading.Event()
        self.frame = None

    def on_receipt(self, frame):
        self.receipt.set()

    def on_message(self, frame):
        self.frame = frame
        self.arrived.set()


def main():
    action, port, queue = client.arguments()
    connection = stomp.Connection12([("127.0.0.1", port)])
    listener = Listener()
    connection.set_listener("", listener)
    connection.connect(client.USER, client.PASSWORD, wait=True)
    if action == "send":
        send(connection, listener, queue)
    else:
        receive(connection, listener, queue)
    connection.disconnect(receipt="bye")


def send(connection, listener, queue):
    name, value = client.HEADER
    headers = {"correlation-id": client.CORRELATION_ID, name: value, "receipt": "sent"}
    connection.send(f"/queue/{queue}", client.BODY, client.CONTENT_TYPE, headers, persistent="true")
    if not listener.receipt.wait(10):
        raise SystemExit("no receipt")


def receive(connection, listener, queue):
    connection.subscribe(f"/queue/{queue}", "1", ack="client-individual")
    if not listener.arrived.wait(10):
        raise SystemExit("nothing arrived")
    headers = listener.frame.headers
    client.show(
        listener.frame.body,
        headers.get("content-type"),
        headers.get("correlation-id"),
        headers.get(client.HEADER[0]),
    )
    connection.ack(headers["ack"])


main()
