"""Prints the body of the first message of a destination."""
import sys
import threading

import stomp

done = threading.Event()


class Printer(stomp.ConnectionListener):
    def on_message(self, frame):
        print(frame.body)
        done.set()


conn = stomp.Connection12([("127.0.0.1", int(sys.argv[1]))])
conn.set_listener("", Printer())
conn.connect("guest", "guest", wait=True)
conn.subscribe(sys.argv[2], 1)
if not done.wait(10):
    sys.exit("nothing came")
conn.disconnect()
