"""SCRAM bound to the TLS connection, as slixmpp does it (tls-unique); one JSON line per login. Usage: port."""
import asyncio, ssl, sys
import slixmpp
from slixmpp_client import PORT, say


class Bound(slixmpp.ClientXMPP):
    def __init__(self, mechanism):
        super().__init__('alice@localhost/bound', 'secret', sasl_mech=mechanism)
        self.started = asyncio.Event()
        self.add_event_handler('session_start', lambda _: self.started.set())

    def get_ssl_context(self):
        context = super().get_ssl_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # TLS 1.3 has no tls-unique, which is all that it knows.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


async def main():
    for mechanism in ('SCRAM-SHA-256-PLUS', 'SCRAM-SHA-1-PLUS'):
        client = Bound(mechanism)
        client.connect(('127.0.0.1', PORT))
        await asyncio.wait_for(client.started.wait(), 10)
        say('login', mechanism=mechanism, jid=client.boundjid.full)
        await client.disconnect()


asyncio.get_event_loop().run_until_complete(main())
