"""slixmpp's plug-ins against the server; prints one JSON line per step. Usage: port AMQP-port."""
import asyncio, sys, threading
import pika
import slixmpp
from slixmpp.plugins.xep_0009.binding import py2xml, xml2py
from slixmpp.xmlstream import ET
from slixmpp_client import Client, say

AMQP_PORT = int(sys.argv[2])
PLUGINS = ('xep_0004', 'xep_0009', 'xep_0012', 'xep_0030', 'xep_0048', 'xep_0049', 'xep_0050',
           'xep_0054', 'xep_0059', 'xep_0060', 'xep_0077', 'xep_0184', 'xep_0198', 'xep_0223')


async def commands(admin):
    listed = await admin['xep_0050'].get_commands('localhost')
    nodes = [item[1] for item in listed['disco_items']['items']]
    say('commands', admin='http://jabber.org/protocol/admin#add-user' in nodes)
    node = 'http://jabber.org/protocol/admin#add-user'
    opened = await admin['xep_0050'].send_command('localhost', node)
    form = admin['xep_0004'].make_form(ftype='submit')
    for name, value in (('accountjid', 'dora@localhost'), ('password', 'pw'), ('password-verify', 'pw')):
        form.add_field(var=name, value=value)
    done = await admin['xep_0050'].send_command(
        'localhost', node, action='complete', sessionid=opened['command']['sessionid'], payload=form)
    say('command', opened=opened['command']['status'], done=done['command']['status'],
        notes=done['command']['notes'])
    dora = slixmpp.ClientXMPP('dora@localhost/d', 'pw')
    dora['feature_mechanisms'].unencrypted_scram = True
    dora.register_plugin('xep_0077')
    dora['xep_0077'].order = 99999
    started = asyncio.Event()
    dora.add_event_handler('session_start', lambda _: started.set())
    dora.connect(('127.0.0.1', int(sys.argv[1])), use_ssl=False, force_starttls=False, disable_starttls=True)
    await asyncio.wait_for(started.wait(), 10)
    await dora['xep_0077'].change_password('better')
    say('password', jid=dora.boundjid.bare)
    await dora['xep_0077'].cancel_registration(ifrom=None)
    say('gone')


async def anonymous():
    client = slixmpp.ClientXMPP('localhost', '', sasl_mech='ANONYMOUS')
    started = asyncio.Event()
    client.add_event_handler('session_start', lambda _: started.set())
    client.connect(('127.0.0.1', int(sys.argv[1])), use_ssl=False, force_starttls=False, disable_starttls=True)
    await asyncio.wait_for(started.wait(), 10)
    say('anonymous', named=client.boundjid.user.startswith('anonymous-'))
    await client.disconnect()


def worker(ready):
    connection = pika.BlockingConnection(pika.ConnectionParameters(
        'localhost', AMQP_PORT, credentials=pika.PlainCredentials('alice', 'secret')))
    channel = connection.channel()
    channel.queue_declare('sums')

    def work(_channel, method, properties, body):
        import xmlrpc.client
        params, name = xmlrpc.client.loads(body)
        answer = xmlrpc.client.dumps((sum(params),), methodresponse=True)
        channel.basic_publish('', properties.reply_to, answer, pika.BasicProperties(
            correlation_id=properties.correlation_id, content_type='text/xml'))
        channel.basic_ack(method.delivery_tag)
        channel.stop_consuming()

    channel.basic_consume('sums', work)
    ready.set()
    channel.start_consuming()
    connection.close()


async def calls(alice):
    ready = threading.Event()
    thread = threading.Thread(target=worker, args=(ready,))
    thread.start()
    await asyncio.get_event_loop().run_in_executor(None, ready.wait)
    call = alice['xep_0009'].make_iq_method_call('sums@queues.localhost', 'sum', py2xml(2, 40))
    result = await call.send()
    say('rpc', answer=xml2py(result['rpc_query']['method_response']['params']))
    await asyncio.get_event_loop().run_in_executor(None, thread.join)


async def storage(alice):
    last = await alice['xep_0012'].get_last_activity('localhost')
    say('uptime', ok=int(last['last_activity']['seconds']) >= 0)
    card = alice['xep_0054'].make_vcard()
    card['FN'] = 'Alice'
    await alice['xep_0054'].publish_vcard(card)
    got = await alice['xep_0054'].get_vcard('alice@localhost')
    say('card', name=got['vcard_temp']['FN'])
    marks = alice['xep_0048'].stanza.Bookmarks()
    marks.add_conference('talk@rooms.localhost', 'al', autojoin=True)
    await alice['xep_0048'].set_bookmarks(marks, method='xep_0049')
    got = await alice['xep_0048'].get_bookmarks(method='xep_0049')
    say('bookmarks', jids=[str(c['jid']) for c in got['private']['bookmarks']['conferences']])


async def options(alice, bob):
    service, node = 'pubsub.localhost', 'plugins/one'
    form = alice['xep_0004'].make_form(ftype='submit')
    form.add_field(var='FORM_TYPE', ftype='hidden', value='http://jabber.org/protocol/pubsub#node_config')
    form.add_field(var='pubsub#max_items', value='10')
    await alice['xep_0060'].create_node(service, node, config=form)
    await bob['xep_0060'].subscribe(service, node)
    config = await alice['xep_0060'].get_node_config(service, node)
    say('config', max=config['pubsub_owner']['configure']['form'].get_values()['pubsub#max_items'])
    got = await bob['xep_0060'].get_subscription_options(service, node)
    shown = got.xml.find('.//{jabber:x:data}x')
    say('options', fields=sorted(f.get('var') for f in shown if f.get('var', '').startswith('pubsub#')))
    for number in range(3):
        payload = ET.fromstring(f"<n xmlns='urn:example:n'>{number}</n>")
        await alice['xep_0060'].publish(service, node, id=str(number), payload=payload)
    items = await bob['xep_0060'].get_items(service, node, max_items=2)
    say('items', ids=[item['id'] for item in items['pubsub']['items']])
    mine = await bob['xep_0060'].get_subscriptions(service, node)
    say('subscriptions', states=[s['subscription'] for s in mine['pubsub']['subscriptions']])
    await alice['xep_0060'].retract(service, node, '1')
    await alice['xep_0060'].purge(service, node)
    await alice['xep_0060'].delete_node(service, node)
    say('deleted')


async def receipts(alice, bob):
    bob['xep_0184'].auto_ack = True
    got = asyncio.get_event_loop().create_future()
    alice.add_event_handler('receipt_received', lambda m: got.set_result(m['receipt']))
    message = alice.make_message('bob@localhost/b', 'did you get this?', mtype='chat')
    message['request_receipt'] = True
    message['id'] = 'r1'
    message.send()
    say('receipt', id=await asyncio.wait_for(got, 10))


async def main():
    admin = Client('guest', 'admin', plugins=PLUGINS)
    admin.password = 'guest'
    alice, bob = Client('alice', 'a', plugins=PLUGINS), Client('bob', 'b', plugins=PLUGINS)
    for client in (admin, alice, bob):
        await client.begin()
        client.send_presence()
    await commands(admin)
    await anonymous()
    await calls(alice)
    await storage(alice)
    await options(alice, bob)
    await receipts(alice, bob)
    for client in (admin, alice, bob):
        await client.disconnect()


asyncio.get_event_loop().run_until_complete(main())
