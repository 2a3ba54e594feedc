"""What a stomp.py application does, against the gateway on the port given and in the dialect that it
speaks there; prints 'ok' at the end."""
import sys
import threading

import stomp

PORT, VERSION, DIALECT = int(sys.argv[1]), sys.argv[2], sys.argv[3]
CLASSES = {
    "1.0": stomp.StompConnection10,
    "1.1": stomp.StompConnection11,
    "1.2": stomp.StompConnection12,
}
ACK_HEADER = "ack" if VERSION == "1.2" else "message-id"


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.frames = []
        self.condition = threading.Condition()

    def _add(self, kind, frame):
        with self.condition:
            self.frames.append((kind, frame.headers, frame.body))
            self.condition.notify_all()

    def on_message(self, frame):
        self._add("message", frame)

    def on_receipt(self, frame):
        self._add("receipt", frame)

    def on_error(self, frame):
        self._add("error", frame)

    def take(self, kind):
        """The next frame of a kind; whatever else comes stays."""
        with self.condition:
            for _ in range(100):
                for index, (found, headers, body) in enumerate(self.frames):
                    if found == "error" and kind != "error":
                        raise AssertionError((headers, body))
                    if found == kind:
                        del self.frames[index]
                        return headers, body
                self.condition.wait(0.1)
            raise AssertionError("no " + kind + " came: " + repr(self.frames))

    def none(self, conn, kind):
        """Nothing of that kind came before the answer to what is sent last."""
        conn.send(unique("/queue/fence"), "fence", receipt="fence")
        while self.take("receipt")[0]["receipt-id"] != "fence":
            pass
        with self.condition:
            assert not [f for f in self.frames if f[0] == kind], self.frames


COUNT = [0]


def unique(prefix):
    COUNT[0] += 1
    return "%s-%s-%d" % (prefix, VERSION.replace(".", "_"), COUNT[0])


def connect(user="guest", passcode="guest", headers=None, **options):
    if VERSION != "1.0":
        options.setdefault("heartbeats", (2000, 2000))
    conn = CLASSES[VERSION](host_and_ports=[("127.0.0.1", PORT)], **options)
    listener = Listener()
    conn.set_listener("", listener)
    conn.connect(user, passcode, wait=True, headers=headers or {})
    return conn, listener


def subscribe(conn, destination, sub="sub", **options):
    conn.subscribe(destination, sub, **options)


def ack(conn, headers, **options):
    if VERSION == "1.1":
        conn.ack(headers["message-id"], headers["subscription"], **options)
    else:
        conn.ack(headers[ACK_HEADER], **options)


def nack(conn, headers, **more):
    header = "id" if VERSION == "1.2" else "message-id"
    fields = {header: headers[ACK_HEADER], **more}
    if VERSION == "1.1":
        fields["subscription"] = headers["subscription"]
    conn.send_frame("NACK", fields)


def echo():
    conn, listener = connect()
    for destination in ("/queue/echo", "/topic/echo.a", "/exchange/amq.direct/echo", "/exchange/amq.fanout"):
        destination = unique(destination) if "fanout" not in destination else destination
        subscribe(conn, destination, destination)
        conn.send(destination, "h\u00e9llo", headers={"x-one": "1", "two": "b"})
        headers, body = listener.take("message")
        assert body == "h\u00e9llo", body
        assert headers["destination"] == destination, headers
        assert (headers["x-one"], headers["two"]) == ("1", "b"), headers
        conn.unsubscribe(destination)  # in 1.0 this is the destination, later the id
    conn.disconnect()


def acknowledgements():
    queue = unique("/queue/ack")
    conn, listener = connect()
    subscribe(conn, queue, ack="client", headers={"prefetch-count": "10"})
    for body in ("1", "2", "3"):
        conn.send(queue, body)
    got = [listener.take("message") for _ in range(3)]
    ack(conn, got[1][0], receipt="acked")
    assert listener.take("receipt")[0]["receipt-id"] == "acked"
    conn.disconnect()
    conn, listener = connect()
    subscribe(conn, queue, ack="client-individual")
    headers, body = listener.take("message")
    assert (body, headers["redelivered"]) == ("3", "true"), (body, headers)
    nack(conn, headers)
    headers, body = listener.take("message")
    assert body == "3"
    nack(conn, headers, requeue=False)
    listener.none(conn, "message")
    conn.disconnect()


def transactions():
    queue = unique("/queue/tx")
    conn, listener = connect()
    subscribe(conn, queue)
    conn.begin(transaction="t")
    conn.send(queue, "held", transaction="t", receipt="held")
    conn.send(queue, "free")
    assert listener.take("message")[1] == "free"
    conn.commit(transaction="t")
    assert listener.take("message")[1] == "held"
    assert listener.take("receipt")[0]["receipt-id"] == "held"
    conn.begin(transaction="u")
    conn.send(queue, "never", transaction="u")
    conn.abort(transaction="u")
    listener.none(conn, "message")
    conn.disconnect()


def receipts():
    queue = unique("/queue/receipts")
    conn, listener = connect()
    wanted = {"r%d" % number for number in range(50)}
    for receipt in wanted:
        conn.send(queue, "x", headers={"persistent": "true"}, receipt=receipt)
    assert {listener.take("receipt")[0]["receipt-id"] for _ in wanted} == wanted
    conn.disconnect()


def durable_subscription():
    topic = unique("/topic/durable")
    options = {"durable": "true", "auto-delete": "false"}
    conn, listener = connect()
    subscribe(conn, topic, "mine", headers={**options, "receipt": "s"})
    listener.take("receipt")
    conn.disconnect()
    sender, sent = connect()
    sender.send(topic, "missed", receipt="r")
    sent.take("receipt")
    conn, listener = connect()
    subscribe(conn, topic, "mine", headers=options)
    assert listener.take("message")[1] == "missed"
    conn.send_frame("UNSUBSCRIBE", {"id": "mine", "durable": "true"})
    sender.disconnect()
    conn.disconnect()


def replies():
    known = unique("/queue/known")
    asker, answers = connect()
    worker, work = connect()
    subscribe(worker, known)
    asker.send(known, "test", headers={"reply-to": "/temp-queue/0"})
    headers, _ = work.take("message")
    assert headers["reply-to"].startswith("/reply-queue/"), headers
    worker.send(headers["reply-to"], "reply")
    headers, body = answers.take("message")
    assert (body, headers["subscription"]) == ("reply", "/temp-queue/0"), headers
    asker.disconnect()
    worker.disconnect()


def errors():
    for destination, message in (("/something/interesting", "Unknown destination"), ("/queue/a/b", "Invalid destination")):
        conn, listener = connect()
        conn.send(destination, "x")
        headers, _ = listener.take("error")
        assert headers["message"] == message, headers


def large():
    topic = unique("/topic/large")
    conn, listener = connect()
    subscribe(conn, topic)
    body = "x" * (4 * 1024 * 1024)
    conn.send(topic, body)
    assert listener.take("message")[1] == body
    conn.disconnect()


def work_queue():
    queue = unique("/queue/work")
    conn, listener = connect()
    subscribe(conn, queue, ack="client-individual")
    for body in ("1", "2", "3"):
        conn.send(queue, body, headers={"persistent": "true", "job": queue})
    got = [listener.take("message")[0] for _ in range(3)]
    ack(conn, got[2])
    nack(conn, got[1])
    conn.disconnect()
    conn, listener = connect()
    subscribe(conn, queue)
    headers, body = listener.take("message")
    assert (body, headers["redelivered"]) == ("1", "true"), (body, headers)
    subscribe(conn, "/queue/ActiveMQ.DLQ", "dead", headers={"selector": "job = '%s'" % queue})
    headers, body = listener.take("message")
    assert (body, headers["persistent"]) == ("2", "true"), (body, headers)
    listener.none(conn, "message")
    conn.disconnect()


def wildcards():
    topic = unique("/topic/w")
    conn, listener = connect()
    subscribe(conn, topic + ".*.c", "word")
    subscribe(conn, topic + ".>", "rest")
    conn.send(topic + ".a.b", "one")
    conn.send(topic + ".a.c", "both")
    got = sorted((body, headers["destination"]) for headers, body in (listener.take("message") for _ in range(3)))
    assert got == [("both", topic + ".a.c"), ("both", topic + ".a.c"), ("one", topic + ".a.b")], got
    listener.none(conn, "message")
    conn.disconnect()


def virtual_topic():
    name = unique("VirtualTopic.orders")
    conn, listener = connect()
    worker, work = connect()
    one = {"activemq.prefetchSize": "1", "receipt": "s"}
    for reader, seen in ((conn, listener), (worker, work)):
        subscribe(reader, "/queue/Consumer.billing." + name, "billing", headers=one, ack="client-individual")
        seen.take("receipt")
    subscribe(worker, "/queue/Consumer.audit." + name, "audit", headers={"receipt": "a"})
    work.take("receipt")
    for body in ("1", "2"):
        conn.send("/topic/" + name, body, headers={"persistent": "true"})
    mine = [listener.take("message")[1]]
    others = sorted(work.take("message")[1] for _ in range(3))
    assert sorted(mine + others) == ["1", "1", "2", "2"], (mine, others)
    conn.disconnect()
    worker.disconnect()


def durable_subscriber():
    topic = unique("/topic/desk")
    who = {"client-id": unique("reader")}
    name = {"activemq.subscriptionName": "desk"}
    conn, listener = connect(headers=who)
    subscribe(conn, topic, headers={**name, "receipt": "s"})
    listener.take("receipt")
    conn.disconnect()
    sender, sent = connect()
    sender.send(topic, "missed", receipt="r")
    sent.take("receipt")
    conn, listener = connect(headers=who)
    subscribe(conn, topic, headers=name)
    assert listener.take("message")[1] == "missed"
    sender.send(topic, "live")
    assert listener.take("message")[1] == "live"
    conn.send_frame("UNSUBSCRIBE", {"id": "sub", **name})
    sender.disconnect()
    conn.disconnect()


def selectors():
    queue = unique("/queue/offers")
    conn, listener = connect()
    other, rest = connect()
    subscribe(conn, queue, headers={"selector": "price > 100 AND cur IN ('EUR', 'CHF')"})
    for body, price in (("cheap", "5"), ("dear", "500")):
        conn.send(queue, body, headers={"price": price, "cur": "EUR"})
    assert listener.take("message")[1] == "dear"
    subscribe(other, queue)
    assert rest.take("message")[1] == "cheap"
    listener.none(conn, "message")
    conn.disconnect()
    other.disconnect()


def scheduled():
    queue = unique("/queue/later")
    conn, listener = connect()
    subscribe(conn, queue)
    conn.send(queue, "delayed", headers={"AMQ_SCHEDULED_DELAY": "300"})
    conn.send(queue, "at once")
    assert listener.take("message")[1] == "at once"
    assert listener.take("message")[1] == "delayed"
    conn.disconnect()


def temporary_queue():
    known = unique("/queue/known")
    asker, answers = connect()
    worker, work = connect()
    subscribe(worker, known)
    subscribe(asker, "/temp-queue/answers")
    asker.send(known, "test", headers={"reply-to": "/temp-queue/answers", "correlation-id": "7"})
    headers, _ = work.take("message")
    worker.send(headers["reply-to"], "reply", headers={"correlation-id": headers["correlation-id"]})
    headers, body = answers.take("message")
    assert (body, headers["correlation-id"]) == ("reply", "7"), headers
    asker.disconnect()
    worker.disconnect()


BOTH = (echo, transactions, receipts, large)
OWN = {
    "rabbitmq": (acknowledgements, durable_subscription, replies, errors),
    "activemq": (work_queue, wildcards, virtual_topic, durable_subscriber, selectors, scheduled, temporary_queue),
}

for scenario in BOTH + OWN[DIALECT]:
    print(scenario.__name__, flush=True)
    scenario()
print("ok")
