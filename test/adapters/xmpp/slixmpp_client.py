"""Everyday work of a slixmpp client; prints one JSON line per step. Usage: port mechanism."""
import asyncio, json, logging, os, sys, uuid
import slixmpp
from slixmpp.xmlstream import ET

if os.environ.get('XMPP_DEBUG'):
    logging.basicConfig(level=logging.DEBUG)
PORT = int(sys.argv[1])


def say(step, **facts):
    print(json.dumps({'step': step, **facts}), flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self, user, resource, mechanism=None, plugins=()):
        super().__init__(f'{user}@localhost/{resource}', 'secret', sasl_mech=mechanism)
        self['feature_mechanisms'].unencrypted_plain = True
        self['feature_mechanisms'].unencrypted_scram = True
        for plugin in plugins:
            self.register_plugin(plugin)
        self.started = asyncio.Event()
        self.inbox = asyncio.Queue()
        self.add_event_handler('session_start', lambda _: self.started.set())
        self.add_event_handler('message', self.on_message)
        self.add_event_handler('failed_auth', lambda _: say('refused', user=user))

    def on_message(self, message):
        if message['type'] in ('chat', 'normal') and message['body']:
            self.inbox.put_nowait(message)

    async def begin(self):
        # slixmpp 1.8 takes an address, later versions host and port.
        self.connect(('127.0.0.1', PORT), use_ssl=False, force_starttls=False, disable_starttls=True)
        await asyncio.wait_for(self.started.wait(), 10)

    async def next(self):
        return await asyncio.wait_for(self.inbox.get(), 10)


async def mechanisms():
    for mechanism in ('PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256'):
        client = Client('alice', 'm', mechanism)
        await client.begin()
        say('login', mechanism=mechanism, jid=client.boundjid.full)
        await client.disconnect()


async def chat(alice, bob):
    alice.send_message('bob@localhost', 'hello', mtype='chat')
    got = await bob.next()
    say('chat', body=got['body'], sender=got['from'].full)
    got.reply('hello yourself').send()
    say('reply', body=(await alice.next())['body'])


async def services(alice):
    info = await alice['xep_0030'].get_info('localhost')
    say('disco', identities=[list(i)[:2] for i in info['disco_info']['identities']])
    items = await alice['xep_0030'].get_items('localhost')
    say('items', jids=sorted(item[0] for item in items['disco_items']['items']))
    rtt = await alice['xep_0199'].ping('localhost')
    say('ping', ok=rtt >= 0)
    version = await alice['xep_0092'].get_version('localhost')
    say('version', name=version['software_version']['name'])
    time = await alice['xep_0202'].get_entity_time('localhost')
    # slixmpp 1.8 cannot read its own stanza's `utc`: the text will do.
    say('time', utc=time.xml.find('.//{urn:xmpp:time}utc').text[-1])


async def roster(alice, bob):
    seen = asyncio.Event()
    bob.auto_authorize = True
    bob.auto_subscribe = True
    alice.add_event_handler('presence_available', lambda p: p['from'].bare == 'bob@localhost' and seen.set())
    await alice.get_roster()
    await bob.get_roster()
    both = asyncio.Event()
    entry = alice.client_roster['bob@localhost']
    # The push may come before or behind the presence.
    alice.add_event_handler('roster_update', lambda _: entry['subscription'] == 'both' and both.set())
    alice.send_presence(pto='bob@localhost', ptype='subscribe')
    await asyncio.wait_for(asyncio.gather(seen.wait(), both.wait()), 10)
    say('roster', subscription=entry['subscription'])
    alice.del_roster_item('bob@localhost')


async def rooms(alice, bob):
    heard = asyncio.Queue()
    bob.add_event_handler('groupchat_message', heard.put_nowait)
    room = 'talk@rooms.localhost'
    await alice['xep_0045'].join_muc_wait(room, 'al', timeout=10)
    await bob['xep_0045'].join_muc_wait(room, 'bo', timeout=10)
    alice.send_message(room, 'hi all', mtype='groupchat')
    got = await asyncio.wait_for(heard.get(), 10)
    say('room', body=got['body'], nick=got['mucnick'], roster=sorted(bob['xep_0045'].get_roster(room)))
    form = await alice['xep_0045'].get_room_config(room)
    form['type'] = 'submit'
    form['values'] = {'muc#roomconfig_roomname': 'Talk', 'muc#roomconfig_moderatedroom': True}
    await alice['xep_0045'].set_room_config(room, form)
    await alice['xep_0045'].set_affiliation(room, 'member', jid='bob@localhost')
    await alice['xep_0045'].set_role(room, 'bo', 'visitor')
    say('configured')


async def topics(alice, bob):
    events = asyncio.Queue()
    bob.add_event_handler('pubsub_publish', events.put_nowait)
    service = 'pubsub.localhost'
    await bob['xep_0060'].subscribe(service, 'news/today')
    payload = ET.fromstring("<entry xmlns='http://www.w3.org/2005/Atom'><title>one</title></entry>")
    await alice['xep_0060'].publish(service, 'news/today', id='i1', payload=payload)
    got = await asyncio.wait_for(events.get(), 10)
    item = got['pubsub_event']['items']['item']
    say('event', node=got['pubsub_event']['items']['node'], id=item['id'], tag=item['payload'].tag)
    items = await alice['xep_0060'].get_items(service, 'news/today')
    say('last', ids=[i['id'] for i in items['pubsub']['items']])
    await alice['xep_0060'].delete_node(service, 'news/today')
    say('deleted')


async def queue(alice, bob):
    bob.send_presence(pto='jobs@queues.localhost')
    alice.send_message('jobs@queues.localhost', 'work', mtype='normal')
    got = await bob.next()
    say('queue', body=got['body'], place=got['from'].bare)
    got.reply('done').send()
    say('answer', body=(await alice.next())['body'])


async def carbons(alice):
    other = Client('alice', 'other', plugins=('xep_0280',))
    await other.begin()
    await other['xep_0280'].enable()
    copied = asyncio.Queue()
    other.add_event_handler('carbon_sent', copied.put_nowait)
    alice.send_message('bob@localhost', 'copied', mtype='chat')
    got = await asyncio.wait_for(copied.get(), 10)
    say('carbon', body=got['carbon_sent']['body'])
    await other.disconnect()


async def component(port):
    alice = Client('alice', 'c')
    await alice.begin()
    echo = slixmpp.ComponentXMPP('comp.localhost', 'shared', '127.0.0.1', port)
    started = asyncio.Event()
    echo.add_event_handler('session_start', lambda _: started.set())
    echo.add_event_handler('message', lambda m: m.reply('echo ' + m['body']).send())
    echo.connect()
    await asyncio.wait_for(started.wait(), 10)
    alice.send_message('any@comp.localhost', 'hi', mtype='chat')
    got = await alice.next()
    say('component', body=got['body'], sender=got['from'].full)
    echo.send_message('alice@localhost/c', 'first', mfrom='other@comp.localhost', mtype='chat')
    say('component', body=(await alice.next())['body'])
    await echo.disconnect()
    await alice.disconnect()


async def history(alice, bob):
    for body in ('one', 'two', 'three'):
        alice.send_message('bob@localhost', body, mtype='chat')
        await bob.next()
    found = []
    async for result in alice['xep_0313'].iterate(with_jid='bob@localhost', rsm={'max': 2}):
        found.append(result['mam_result']['forwarded']['stanza']['body'])
    say('archive', bodies=found)
    await alice['xep_0191'].block('mallory@localhost')
    blocked = await alice['xep_0191'].get_blocked()
    say('blocked', jids=sorted(map(str, blocked['blocklist']['items'])))
    nicks = asyncio.Queue()
    alice.add_event_handler('user_nick_publish', nicks.put_nowait)
    alice['xep_0163'].add_interest('http://jabber.org/protocol/nick')
    await alice['xep_0115'].update_caps()
    alice.send_presence()
    await alice['xep_0172'].publish_nick('Al')
    event = await asyncio.wait_for(nicks.get(), 10)
    item = event['pubsub_event']['items']['item']
    say('nick', sender=event['from'].bare, nick=item['nick']['nick'])


async def main():
    if len(sys.argv) > 2 and sys.argv[2] == 'history':
        plugins = ('xep_0115', 'xep_0163', 'xep_0172', 'xep_0191', 'xep_0313')
        alice, bob = Client('alice', 'a', plugins=plugins), Client('bob', 'b')
        await alice.begin()
        await bob.begin()
        alice.send_presence()
        bob.send_presence()
        await history(alice, bob)
        await alice.disconnect()
        return await bob.disconnect()
    if len(sys.argv) > 3 and sys.argv[2] == 'component':
        return await component(int(sys.argv[3]))
    if len(sys.argv) > 2 and sys.argv[2] == 'mechanisms':
        return await mechanisms()
    plugins = ('xep_0030', 'xep_0199', 'xep_0092', 'xep_0202', 'xep_0045', 'xep_0060', 'xep_0198')
    alice, bob = Client('alice', 'a', plugins=plugins), Client('bob', 'b', plugins=plugins)
    await alice.begin()
    await bob.begin()
    alice.send_presence()
    bob.send_presence()
    await bob['xep_0199'].ping('localhost')
    await chat(alice, bob)
    await services(alice)
    await roster(alice, bob)
    await rooms(alice, bob)
    await topics(alice, bob)
    await queue(alice, bob)
    await carbons(alice)
    await alice.disconnect()
    await bob.disconnect()


if __name__ == '__main__':
    asyncio.get_event_loop().run_until_complete(main())
