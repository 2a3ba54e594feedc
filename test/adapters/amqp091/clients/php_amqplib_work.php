<?php
// The work of ../client-work.test.ts with php-amqplib. Argument: the port. Prints what came of it.
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPIOException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const WAIT_SECONDS = 20;
$said = [];
$connection = new AMQPStreamConnection('127.0.0.1', (int) $argv[1], 'guest', 'guest');

/** Consumes a queue; answers a function that waits for its next delivery. */
function inbox($channel, $queue, $noAck = false)
{
    $messages = [];
    $tag = $channel->basic_consume($queue, '', false, $noAck, false, false, function ($message) use (&$messages) {
        $messages[] = $message;
    });
    $take = function () use (&$messages, $channel) {
        while (!$messages) {
            $channel->wait(null, false, WAIT_SECONDS);
        }
        return array_shift($messages);
    };
    return [$take, $tag];
}

function declare_all($channel)
{
    $channel->exchange_declare('jobs', 'topic', false, true, false);
    $channel->exchange_declare('graves', 'fanout', false, true, false);
    $channel->queue_declare('buried', false, true, false, false);
    $channel->queue_bind('buried', 'graves');
    $arguments = new AMQPTable(['x-dead-letter-exchange' => 'graves']);
    $channel->queue_declare('work', false, true, false, false, false, $arguments);
    $channel->queue_bind('work', 'jobs', 'job.*');
}

$channel = $connection->channel();
declare_all($channel);
$confirmed = 0;
$channel->set_ack_handler(function () use (&$confirmed) {
    $confirmed++;
});
$channel->confirm_select();
for ($number = 0; $number < 10; $number++) {
    $persistent = ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
    $channel->batch_basic_publish(new AMQPMessage("$number", $persistent), 'jobs', "job.$number");
}
$channel->publish_batch();
$channel->wait_for_pending_acks(WAIT_SECONDS);
$said['confirmed'] = $confirmed;

$channel->basic_qos(0, 3, false);
[$take, $tag] = inbox($channel, 'work');
$held = [$take(), $take(), $take()];
[, $said['waiting']] = $channel->queue_declare('work', true);
$held[0]->nack(true);
$again = $take();
$said['redelivered'] = [$again->body, $again->isRedelivered()];
$again->ack(true);
for ($number = 3; $number < 10; $number++) {
    $held[] = $message = $take();
    if ($message->body === '9') {
        $message->reject(false);
    } else {
        $message->ack();
    }
}
$said['consumed'] = array_map(fn ($message) => $message->body, $held);
$channel->basic_cancel($tag);

[$exhume] = inbox($channel, 'buried', true);
$dead = $exhume();
$death = $dead->get('application_headers')->getNativeData()['x-death'][0];
$said['buried'] = [$dead->body, $death['reason'], $death['queue'], $death['count'], $death['routing-keys']];

// It writes doubles as texts.
$headers = [
    'int' => 1, 'large' => 2 ** 40, 'text' => 'süß', 'true' => true, 'null' => null,
    'list' => [1, 'zwei', [false]], 'table' => ['in' => ['deep' => -1]],
];
[$echo] = $channel->queue_declare('', false, false, true, true);
$properties = ['message_id' => 'm-1', 'priority' => 4, 'expiration' => '60000', 'type' => 'kind'];
$typed = new AMQPMessage('typed', $properties + ['application_headers' => new AMQPTable($headers)]);
$channel->basic_publish($typed, '', $echo);
$channel->wait_for_pending_acks(WAIT_SECONDS);
$got = $channel->basic_get($echo, true);
$back = $got->get('application_headers')->getNativeData();
ksort($back);
ksort($headers);
$said['headers'] = $back === $headers;
$said['properties'] = array_map([$got, 'get'], array_keys($properties));

$channel->set_return_listener(function ($code, $text, $exchange, $key, $message) use (&$said) {
    $said['returned'] = [$code, $text, $message->body];
});
$channel->basic_publish(new AMQPMessage('lost'), '', 'nowhere', true);
$channel->wait_for_pending_acks_returns(WAIT_SECONDS);

$serving = $connection->channel();
$serving->queue_declare('rpc', false, false, true, true);
$serving->basic_consume('rpc', '', false, true, false, false, function ($request) use ($serving) {
    $correlation = ['correlation_id' => $request->get('correlation_id')];
    $serving->basic_publish(new AMQPMessage(strtoupper($request->body), $correlation), '', $request->get('reply_to'));
});
$asking = $connection->channel();
[$reply] = inbox($asking, 'amq.rabbitmq.reply-to', true);
foreach (['a', 'b', 'c'] as $text) {
    $properties = ['reply_to' => 'amq.rabbitmq.reply-to', 'correlation_id' => "c-$text"];
    $asking->basic_publish(new AMQPMessage($text, $properties), '', 'rpc');
    $serving->wait(null, false, WAIT_SECONDS);
    $answer = $reply();
    $said['answers'][] = [$answer->get('correlation_id'), $answer->body];
}

try {
    $connection->channel()->queue_declare('none', true);
} catch (AMQPProtocolChannelException $error) {
    $said['missing'] = [$error->amqp_reply_code, $error->amqp_reply_text];
}

// The gateway is replaced by one that knows nothing: the program connects and declares again.
$channel->basic_publish(new AMQPMessage(''), '', 'restart');
try {
    while (true) {
        $channel->wait(null, false, WAIT_SECONDS);
    }
} catch (AMQPConnectionClosedException $error) {
    $said['closed'] = $error->getCode();
}
for ($deadline = microtime(true) + WAIT_SECONDS; ;) {
    try {
        $connection->reconnect();
        break;
    } catch (AMQPConnectionClosedException | AMQPIOException $error) {
        if (microtime(true) > $deadline) {
            throw $error;
        }
        usleep(50000);
    }
}
$channel = $connection->channel();
declare_all($channel);
[$watching] = $channel->queue_declare('', false, false, true, true);
$channel->queue_bind($watching, 'jobs', 'event.#');
[$take] = inbox($channel, $watching, true);
$channel->basic_publish(new AMQPMessage('after'), 'jobs', 'event.new');
$said['recovered'] = $take()->body;
$connection->close();
echo json_encode($said), "\n";
