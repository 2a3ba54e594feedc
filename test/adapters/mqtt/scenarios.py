"""What MQTT is used for at home and at work, played by paho as Debian ships it.

    scenarios.py NAME PORT LEVEL     prints what it saw as JSON
"""

import json
import os
import queue
import socket
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

NAME, PORT, LEVEL = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATIENCE_SECONDS = 30


class Client:
    """A paho client in a thread of its own; what it receives is in `inbox`."""

    def __init__(self, name, clean=True, will=None, on_message=None):
        protocol = mqtt.MQTTv5 if LEVEL == 5 else mqtt.MQTTv311
        clean_session = {} if LEVEL == 5 else {"clean_session": clean}
        self.inbox = queue.Queue()
        self.connected = threading.Event()
        self.subscribed = queue.Queue()
        self.paho = mqtt.Client(client_id=f"{NAME}-{LEVEL}-{name}", protocol=protocol, **clean_session)
        self.paho.username_pw_set("alice", "secret")
        self.paho.reconnect_delay_set(min_delay=1, max_delay=1)
        self.paho.max_inflight_messages_set(20)
        self.flags = None
        self.information = None
        if will is not None:
            self.paho.will_set(*will)
        self.paho.on_connect = self._on_connect
        self.paho.on_subscribe = lambda *arguments: self.subscribed.put(arguments[3])
        receive = on_message or (lambda _, message: self.inbox.put(message))
        self.paho.on_message = lambda _client, _data, message: receive(self, message)
        self.clean = clean
        self.start()

    def _on_connect(self, _client, _data, flags, code, properties=None):
        self.flags = flags
        self.information = getattr(properties, "ResponseInformation", None)
        if code == 0:
            self.connected.set()

    def start(self):
        arguments = {}
        if LEVEL == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.RequestResponseInformation = 1
            if not self.clean:
                properties.SessionExpiryInterval = 300
            arguments = {"clean_start": self.clean, "properties": properties}
        self.connected.clear()
        self.paho.connect("127.0.0.1", PORT, keepalive=60, **arguments)
        self.paho.loop_start()
        if not self.connected.wait(PATIENCE_SECONDS):
            raise TimeoutError("no CONNACK")

    def subscribe(self, topic, qos=1):
        self.paho.subscribe(topic, qos)
        return self.subscribed.get(timeout=PATIENCE_SECONDS)

    def publish(self, topic, body, qos=1, retain=False, properties=None):
        more = {"properties": properties} if properties is not None else {}
        info = self.paho.publish(topic, body, qos, retain, **more)
        info.wait_for_publish(PATIENCE_SECONDS)
        if not info.is_published():
            raise TimeoutError(f"{topic} not published")

    def next(self):
        message = self.inbox.get(timeout=PATIENCE_SECONDS)
        return message.topic, message.payload.decode(), message.retain

    def stop(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def lose(self):
        """The network is gone, and the client does not know it."""
        self.connected.clear()
        self.paho.socket().shutdown(socket.SHUT_RDWR)


def discovery():
    """Devices announce themselves with retained messages; a hub that comes later finds them."""
    devices = {}
    for name in ("kitchen", "garage"):
        availability = f"dev{LEVEL}/{name}/availability"
        devices[name] = Client(name, will=(availability, "offline", 1, True))
        config = {"name": name, "state_topic": f"dev{LEVEL}/{name}/state", "availability_topic": availability}
        devices[name].publish(f"ha{LEVEL}/sensor/{name}/config", json.dumps(config), retain=True)
        devices[name].publish(availability, "online", retain=True)
    hub = Client("hub")
    hub.subscribe(f"ha{LEVEL}/+/+/config")
    found = [hub.next() for _ in devices]
    known = {}
    for _topic, body, retained in found:
        config = json.loads(body)
        hub.subscribe(config["availability_topic"])
        known[config["name"]] = (retained, hub.next()[1])
        hub.subscribe(config["state_topic"])
    devices["kitchen"].publish(f"dev{LEVEL}/kitchen/state", "21.5", qos=0)
    state = hub.next()
    devices["garage"].paho.loop_stop()
    devices["garage"].paho.socket().close()
    gone = hub.next()
    devices["kitchen"].publish(f"ha{LEVEL}/sensor/garage/config", "", retain=True)
    removed = hub.next()
    later = Client("later")
    later.subscribe(f"ha{LEVEL}/#")
    left = later.next()[0]
    devices["kitchen"].publish(f"ha{LEVEL}/end", "end")
    return {"known": known, "state": state, "gone": gone, "removed": removed, "left": left, "end": later.next()[1]}


def workers():
    """A group shares jobs; one worker dies with a job in its hands, another leaves for good."""
    jobs = 40
    done = queue.Queue()

    def die(worker, message):
        if not worker.dead:
            worker.dead = True
            worker.paho.reconnect_delay_set(min_delay=120, max_delay=120)
            worker.paho.socket().shutdown(socket.SHUT_RDWR)

    good = [Client(f"good{i}", on_message=lambda c, m: done.put((c, m.payload.decode()))) for i in range(2)]
    bad = Client("bad", on_message=die)
    bad.dead = False
    group = f"$share/crew{LEVEL}/jobs{LEVEL}/#"
    for worker in (*good, bad):
        worker.subscribe(group)
    boss = Client("boss")
    seen = set()
    for i in range(jobs // 2):
        boss.publish(f"jobs{LEVEL}/{i}", str(i))
    while len(seen) < jobs // 2:
        seen.add(done.get(timeout=PATIENCE_SECONDS)[1])
    good[0].stop()
    who = set()
    for i in range(jobs // 2, jobs):
        boss.publish(f"jobs{LEVEL}/{i}", str(i))
    while len(seen) < jobs:
        worker, body = done.get(timeout=PATIENCE_SECONDS)
        seen.add(body)
        who.add(good.index(worker))
    return {"seen": len(seen), "dead": bad.dead, "afterwards": sorted(who)}


def rpc():
    """Request and response by properties; the answers' topic is what the broker suggested."""
    asker = Client("asker")
    service = Client("service")
    service.subscribe("rpc/square")
    answers = asker.information
    asker.subscribe(f"{answers}/#")
    results = {}
    for number in range(5):
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"{answers}/square"
        properties.CorrelationData = bytes([number, 255])
        properties.UserProperty = [("trace", "1"), ("trace", "2")]
        asker.publish("rpc/square", str(number), properties=properties)
        request = service.inbox.get(timeout=PATIENCE_SECONDS)
        reply = Properties(PacketTypes.PUBLISH)
        reply.CorrelationData = request.properties.CorrelationData
        reply.UserProperty = request.properties.UserProperty
        service.publish(request.properties.ResponseTopic, str(int(request.payload) ** 2), properties=reply)
        answer = asker.inbox.get(timeout=PATIENCE_SECONDS)
        results[answer.properties.CorrelationData[0]] = int(answer.payload)
        trace = answer.properties.UserProperty
    return {"information": answers, "results": results, "trace": trace}


def offline():
    """A session keeps what comes while its client is away, in order."""
    client = Client("client", clean=False)
    client.subscribe(f"offline{LEVEL}/#", 2)
    client.stop()
    sender = Client("sender")
    for i in range(60):
        sender.publish(f"offline{LEVEL}/{i}", str(i), qos=i % 3)
    client.start()
    flags = client.flags
    bodies = [int(client.next()[1]) for _ in range(40)]
    sender.publish(f"offline{LEVEL}/end", "end")
    # paho hands a QoS 2 message over when it is released: each QoS has its order.
    by_qos = {qos: [i for i in bodies if i % 3 == qos] for qos in (1, 2)}
    return {"present": flags["session present"], "bodies": by_qos, "end": client.next()[1]}


def exactly_once():
    """QoS 2 both ways, while both connections break again and again."""
    count = 60
    receiver = Client("receiver", clean=False)
    receiver.subscribe(f"once{LEVEL}", 2)
    sender = Client("sender", clean=False)
    for i in range(count):
        sender.paho.publish(f"once{LEVEL}", str(i), 2)
        if i in (10, 40):
            sender.lose()
        if i in (20, 50):
            receiver.lose()
        if i % 20 == 19:
            for client in (sender, receiver):
                client.connected.wait(PATIENCE_SECONDS)
    bodies = [receiver.next()[1] for _ in range(count)]
    sender.publish(f"once{LEVEL}", "end", 2)
    return {"bodies": sorted(bodies, key=int), "end": receiver.next()[1]}


scenarios = {function.__name__: function for function in (discovery, workers, rpc, offline, exactly_once)}
print(json.dumps(scenarios[NAME]()), flush=True)
# The threads of connections that were broken on purpose do not end by themselves.
os._exit(0)
