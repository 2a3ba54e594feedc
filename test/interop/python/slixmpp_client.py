"""XMPP with slixmpp: sends a message to the queue's address, or attends the queue until one comes."""
import asyncio
import logging
from xml.etree import ElementTree

import slixmpp

import client

SHIM = "{http://jabber.org/protocol/shim}"


class Chat(slixmpp.ClientXMPP):
    def __init__(self, action, queue):
        super().__init__(f"{client.USER}@localhost", client.PASSWORD)
        self.action = action
        self.queue = f"{queue}@queues.localhost"
        self.done = asyncio.get_event_loop().create_future()
        self.register_plugin("xep_0198")
        self.register_plugin("xep_0199")
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("message", self.received)

    async def start(self, _):
        self.send_presence()
        if self.action == "send":
            self.send_one()
            # The answer to a ping comes after what was sent before it was handled.
            await self["xep_0199"].ping(self.boundjid.host)
            self.done.set_result(None)
        else:
            self.send_presence(pto=self.queue)

    def send_one(self):
        message = self.make_message(self.queue, client.BODY, mtype="chat")
        message["thread"] = client.CORRELATION_ID
        headers = ElementTree.SubElement(message.xml, f"{SHIM}headers")
        for name, value in (("Content-Type", client.CONTENT_TYPE), client.HEADER):
            ElementTree.SubElement(headers, f"{SHIM}header", name=name).text = value
        message.send()

    def received(self, message):
        if message["from"].bare != self.queue or self.done.done():
            return
        headers = {
            header.get("name"): header.text
            for header in message.xml.findall(f"{SHIM}headers/{SHIM}header")
        }
        content_type, colour = headers.get("Content-Type"), headers.get(client.HEADER[0])
        client.show(message["body"], content_type, message["thread"], colour)
        self.done.set_result(None)


async def main():
    logging.disable(logging.CRITICAL)
    action, port, queue = client.arguments()
    chat = Chat(action, queue)
    chat.connect(("127.0.0.1", port), disable_starttls=True)
    await asyncio.wait_for(chat.done, 15)
    await chat.disconnect()


asyncio.get_event_loop().run_until_complete(main())
