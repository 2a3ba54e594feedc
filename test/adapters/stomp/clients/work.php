<?php
// What a PHP application does with the extension `stomp`, on the port and in the dialect given;
// prints `done` at the end.
[$_, $port, $dialect] = $argv;
set_time_limit(60);

function same($expected, $got, $what) {
    if ($expected === $got) {
        echo "$what\n";
        return;
    }
    fwrite(STDERR, "$what: expected " . var_export($expected, true) . ', got ' . var_export($got, true) . "\n");
    exit(1);
}

$s = new Stomp("tcp://127.0.0.1:$port", 'guest', 'guest', ['accept-version' => '1.1', 'host' => '/']);
$s->setReadTimeout(10);
$q = "/queue/php.$dialect";
same(true, $s->subscribe($q, ['id' => '1', 'ack' => 'client']), 'subscribe');
same(true, $s->send($q, 'hello', ['persistent' => 'true', 'kind' => 'k', 'receipt' => 'r1']), 'send');
$f = $s->readFrame();
same('hello', $f->body, 'body');
same('k', $f->headers['kind'], 'header');
same(true, $s->ack($f, ['subscription' => '1', 'receipt' => 'r2']), 'ack');
same(true, $s->begin('t', ['receipt' => 'r3']), 'begin');
same(true, $s->send($q, "in\0it", ['transaction' => 't', 'content-length' => '5']), 'send in transaction');
same(true, $s->commit('t', ['receipt' => 'r4']), 'commit');
$f = $s->readFrame();
same("in\0it", $f->body, 'transacted');
$s->ack($f, ['subscription' => '1']);
same(true, $s->unsubscribe($q, ['id' => '1', 'receipt' => 'r5']), 'unsubscribe');
try {
    new Stomp("tcp://127.0.0.1:$port", 'guest', 'wrong');
    same('refused', 'logged in', 'a wrong passcode');
} catch (StompException $error) {
    same('Bad CONNECT', $error->getMessage(), 'a wrong passcode');
}
echo "done\n";
