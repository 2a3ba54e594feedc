import { afterAll, beforeAll, expect, test } from 'vitest';
import { Harness } from './amqplib-harness.ts';
import { PYTHON, run, works } from './commands.ts';

const withPika = test.skipIf(!works(PYTHON, '-c', 'import pika'));
const withTools = test.skipIf(!works('amqp-publish', '--help'));
const harness = new Harness();
beforeAll(() => harness.start());
afterAll(() => harness.stop());

const PRELUDE = `
import json, sys, pika
def connect(user='guest', password='guest', **kw):
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', int(sys.argv[1]), credentials=credentials, **kw))
`;

async function python(script: string): Promise<unknown> {
  const printed = await run(PYTHON, ['-c', PRELUDE + script, String(harness.port)]);
  return JSON.parse(printed.trim().split('\n').at(-1) ?? 'null');
}

withPika('pika publishes with confirms and consumes', async () => {
  const got = await python(`
channel = connect().channel()
channel.confirm_delivery()
queue = channel.queue_declare('', exclusive=True).method.queue
properties = pika.BasicProperties(delivery_mode=2, priority=3, headers={'a': 1, 'b': 'zwei', 'c': [1, {'d': None}]}, message_id='m')
for i in range(10):
    channel.basic_publish('', queue, b'%d' % i, properties, mandatory=True)
bodies = []
for method, props, body in channel.consume(queue, inactivity_timeout=5):
    bodies.append(body.decode())
    channel.basic_ack(method.delivery_tag)
    if len(bodies) == 10: break
print(json.dumps([bodies, props.headers, props.priority, props.message_id, method.routing_key == queue]))
`);
  expect(got).toEqual([
    Array.from({ length: 10 }, (_, index) => `${index}`),
    { a: 1, b: 'zwei', c: [1, { d: null }] },
    3,
    'm',
    true,
  ]);
});

withPika('pika hears of unroutable messages, and of refused ones', async () => {
  const got = await python(`
channel = connect().channel()
channel.confirm_delivery()
said = []
try: channel.basic_publish('', 'nowhere', b'x', mandatory=True)
except pika.exceptions.UnroutableError as error: said.append('unroutable %d' % len(error.messages))
queue = channel.queue_declare('', exclusive=True, arguments={'x-max-length': 1, 'x-overflow': 'reject-publish'}).method.queue
channel.basic_publish('', queue, b'x')
try: channel.basic_publish('', queue, b'x')
except pika.exceptions.NackError: said.append('nacked')
print(json.dumps(said))
`);
  expect(got).toEqual(['unroutable 1', 'nacked']);
});

withPika('pika raises what closes its channel, its connection and its login', async () => {
  const got = await python(`
connection = connect()
said = []
try: connection.channel().queue_declare('none', passive=True)
except pika.exceptions.ChannelClosedByBroker as error: said.append([error.reply_code, error.reply_text])
try: connection.channel().exchange_declare('x', 'nonsense')
except pika.exceptions.ConnectionClosedByBroker as error: said.append([error.reply_code, error.reply_text])
try: connect(password='wrong')
except Exception as error: said.append(type(error).__name__)
try: connect(virtual_host='none')
except Exception as error: said.append(type(error).__name__)
print(json.dumps(said))
`);
  expect(got).toEqual([
    [404, "NOT_FOUND - no queue 'none' in vhost '/'"],
    [503, "COMMAND_INVALID - unknown exchange type 'nonsense'"],
    'ProbableAuthenticationError',
    'ProbableAccessDeniedError',
  ]);
});

withPika('pika uses direct reply-to, transactions, flow and recover', async () => {
  const got = await python(`
connection = connect()
server, client = connection.channel(), connection.channel()
queue = server.queue_declare('', exclusive=True).method.queue
replies = []
client.basic_consume('amq.rabbitmq.reply-to', lambda ch, m, p, b: replies.append(b.decode()), auto_ack=True)
client.basic_publish('', queue, b'ping', pika.BasicProperties(reply_to='amq.rabbitmq.reply-to'))
def serve(ch, method, props, body):
    ch.basic_publish('', props.reply_to, b'pong')
    ch.basic_ack(method.delivery_tag)
server.basic_consume(queue, serve)
while not replies: connection.process_data_events(1)
tx = connection.channel()
tx.tx_select()
other = tx.queue_declare('', exclusive=True).method.queue
tx.basic_publish('', other, b'x'); tx.tx_rollback()
tx.basic_publish('', other, b'y'); tx.tx_commit()
method, _, body = tx.basic_get(other)
plain = connection.channel()
plain.flow(True)
plain.basic_publish('', other, b'z')
plain.basic_get(other)
plain.basic_recover(requeue=True)
again = plain.basic_get(other)
print(json.dumps([replies, body.decode(), again[0].redelivered]))
connection.close()
`);
  expect(got).toEqual([['pong'], 'y', true]);
});

withTools('amqp-tools declare, publish, get and delete', async () => {
  const url = `--url=amqp://guest:guest@127.0.0.1:${harness.port}`;
  const declared = await run('amqp-declare-queue', [url, '--queue=tools', '--durable']);
  expect(declared.trim()).toBe('tools');
  await run('amqp-publish', [url, '--routing-key=tools', '--persistent'], 'from the shell');
  expect(await run('amqp-get', [url, '--queue=tools'])).toBe('from the shell');
  await run('amqp-publish', [url, '--routing-key=tools', '--body=consumed']);
  expect(await run('amqp-consume', [url, '--queue=tools', '--count=1', 'cat'])).toBe('consumed');
  expect((await run('amqp-delete-queue', [url, '--queue=tools'])).trim()).toBe('0');
});
