"""Everyday work of an aioxmpp client over STARTTLS; prints one JSON line per step. Usage: port."""
import asyncio, json, logging, os, sys
import aioxmpp, aioxmpp.xso
from aioxmpp import adhoc, blocking, carbons, disco, forms, im, muc, ping, pubsub, roster, vcard, version

if os.environ.get('XMPP_DEBUG'):
    logging.basicConfig(level=logging.DEBUG)
PORT = int(sys.argv[1])


def say(step, **facts):
    print(json.dumps({'step': step, **facts}), flush=True)


def jid(text):
    return aioxmpp.JID.fromstr(text)


class Note(aioxmpp.xso.XSO):
    TAG = ('urn:example:note', 'note')
    text = aioxmpp.xso.Text(default=None)


pubsub.xso.as_payload_class(Note)


def client(user, *services):
    made = aioxmpp.PresenceManagedClient(
        jid(f'{user}@localhost/aio'),
        aioxmpp.make_security_layer('secret', no_verify=True),
        override_peer=[('127.0.0.1', PORT, aioxmpp.connector.STARTTLSConnector())],
    )
    return made, [made.summon(service) for service in services]


async def soon(future):
    return await asyncio.wait_for(future, 10)


async def chat(alice, bob):
    heard = asyncio.Queue()
    dispatcher = bob.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
    dispatcher.register_callback(aioxmpp.MessageType.CHAT, None, heard.put_nowait)
    message = aioxmpp.Message(to=jid('bob@localhost'), type_=aioxmpp.MessageType.CHAT)
    message.body[None] = 'hello'
    await alice.send(message)
    got = await soon(heard.get())
    say('chat', body=got.body.any(), sender=str(got.from_))


async def services(alice, asking, pinging, asker):
    info = await asking.query_info(jid('localhost'))
    say('disco', identities=sorted([i.category, i.type_] for i in info.identities))
    await ping.ping(alice, jid('localhost'))
    found = await version.query_version(alice.stream, jid('localhost'))
    say('version', name=found.name)
    commands = await asker.get_commands(jid('localhost'))
    say('commands', some='urn:rosettamq:commands#list-queues' in [c.node for c in commands])
    session = await asker.execute(jid('localhost'), 'urn:rosettamq:commands#list-queues')
    async with session:
        fields = [field.var for field in session.first_payload.fields if field.var != 'FORM_TYPE']
        session.first_payload.type_ = forms.xso.DataType.SUBMIT
        await session.proceed(action=adhoc.xso.ActionType.COMPLETE, payload=session.first_payload)
        say('command', fields=fields, status=str(session.status.value))


async def contacts(alice_roster, bob_roster):
    done = asyncio.Event()
    bob_roster.on_subscribe.connect(lambda stanza: bob_roster.approve(stanza.from_.bare()) and None)
    alice_roster.on_subscribed.connect(lambda stanza: done.set() and None)
    await alice_roster.set_entry(jid('bob@localhost'), name='Bob', add_to_groups={'friends'})
    alice_roster.subscribe(jid('bob@localhost'))
    await soon(done.wait())
    entry = alice_roster.items[jid('bob@localhost')]
    say('roster', name=entry.name, groups=sorted(group for group in entry.groups))


async def rooms(alice_muc, bob_muc):
    room, entered = alice_muc.join(jid('aio@rooms.localhost'), 'al')
    await soon(entered)
    heard = asyncio.Queue()
    other, entered = bob_muc.join(jid('aio@rooms.localhost'), 'bo')
    other.on_message.connect(lambda message, member, source, **_: heard.put_nowait((message, member)) and None)
    await soon(entered)
    message = aioxmpp.Message(type_=aioxmpp.MessageType.GROUPCHAT)
    message.body[None] = 'hi all'
    await room.send_message(message)
    got, member = await soon(heard.get())
    say('room', body=got.body.any(), nick=member.nick, members=sorted(m.nick for m in other.members))
    form = await alice_muc.get_room_config(jid('aio@rooms.localhost'))
    typed = muc.ConfigurationForm.from_xso(form)
    typed.roomname.value = 'Talk'
    await alice_muc.set_room_config(jid('aio@rooms.localhost'), typed.render_reply())
    say('configured')


async def topics(alice_pubsub, bob_pubsub):
    service, node = jid('pubsub.localhost'), 'aio/news'
    await alice_pubsub.create(service, node)
    events = asyncio.Queue()
    bob_pubsub.on_item_published.connect(
        lambda _, name, item, **more: events.put_nowait((name, item)) and None)
    answer = await bob_pubsub.subscribe(service, node)
    say('subscribed', state=answer.payload.subscription)
    note = Note()
    note.text = 'one'
    await alice_pubsub.publish(service, node, note, id_='i1')
    name, item = await soon(events.get())
    say('event', node=name, id=item.id_, text=item.registered_payload.text)
    got = await alice_pubsub.get_items(service, node)
    say('items', ids=[i.id_ for i in got.payload.items])
    form = await bob_pubsub.get_subscription_config(service, node)
    say('options', fields=sorted(f.var for f in form.fields if f.var and f.var.startswith('pubsub#')))
    meta = await alice_pubsub.get_node_affiliations(service, node)
    say('affiliations', all=[[str(a.jid), a.affiliation] for a in meta.payload.affiliations])
    await bob_pubsub.unsubscribe(service, node)
    await alice_pubsub.delete(service, node)
    say('deleted')


async def persons(alice_blocking, alice_cards, alice_carbons):
    await alice_blocking.block_jids([jid('mallory@localhost')])
    say('blocked', jids=sorted(str(j) for j in alice_blocking.blocklist))
    await alice_carbons.enable()
    card = await alice_cards.get_vcard(None)
    await alice_cards.set_vcard(card)
    say('card')


async def main():
    alice, of_alice = client('alice', aioxmpp.RosterClient, aioxmpp.MUCClient, aioxmpp.PubSubClient,
                             aioxmpp.DiscoClient, adhoc.AdHocClient, aioxmpp.BlockingClient,
                             vcard.VCardService, aioxmpp.CarbonsClient)
    bob, of_bob = client('bob', aioxmpp.RosterClient, aioxmpp.MUCClient, aioxmpp.PubSubClient)
    async with alice.connected() as stream, bob.connected():
        say('login', jid=str(alice.local_jid), managed=stream.sm_enabled)
        await chat(alice, bob)
        await services(alice, of_alice[3], None, of_alice[4])
        await contacts(of_alice[0], of_bob[0])
        await rooms(of_alice[1], of_bob[1])
        await topics(of_alice[2], of_bob[2])
        await persons(of_alice[5], of_alice[6], of_alice[7])


asyncio.run(main())
