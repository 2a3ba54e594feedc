"""What the three Python clients share: their arguments, and one normal form of what they received.

usage: NAME_client.py send|receive PORT QUEUE

Sends one message with a content type, a correlation id and a header, or receives one message and
prints it as JSON.
"""
import json
import sys

BODY = "a message from python: größe"
CONTENT_TYPE = "text/plain"
CORRELATION_ID = "python-1"
HEADER = ("colour", "red")
USER, PASSWORD = "guest", "guest"


def arguments():
    _, action, port, queue = sys.argv
    return action, int(port), queue


def show(body, content_type, correlation_id, colour):
    received = {
        "body": body,
        "contentType": content_type,
        "correlationId": correlation_id,
        "colour": colour,
    }
    print(json.dumps(received), flush=True)
