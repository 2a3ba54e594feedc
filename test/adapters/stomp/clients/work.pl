# What a Perl application does with Net::Stomp, on the port and in the dialect given; prints `done`
# at the end.
use strict;
use warnings;
use Net::Stomp;

my ($port, $dialect) = @ARGV;
$| = 1;
alarm 60;

sub same {
    my ($expected, $got, $what) = @_;
    die "$what: expected $expected, got " . (defined $got ? $got : 'nothing') . "\n"
      unless defined $got && $expected eq $got;
    print "$what\n";
}

my $stomp = Net::Stomp->new({ hostname => '127.0.0.1', port => $port });
my $connected = $stomp->connect({
    login => 'guest', passcode => 'guest',
    'accept-version' => '1.1', host => '127.0.0.1', 'client-id' => 'perl',
});
same('CONNECTED', $connected->command, 'connected');

my $queue = "/queue/perl.$dialect";
$stomp->subscribe({ destination => $queue, id => '1', ack => 'client' });

sub next_body { return $stomp->receive_frame({ timeout => 10 }) }

my $sent = $stomp->send_with_receipt({
    destination => $queue, body => 'with receipt', persistent => 'true',
});
same('1', $sent ? 1 : 0, 'receipt');
my $frame = next_body();
same('with receipt', $frame->body, 'body');
$stomp->ack({ frame => $frame });

# Net::Stomp waits for the receipt before it commits: ActiveMQ's answer, which RabbitMQ gives after.
if ($dialect eq 'activemq') {
    my $done = $stomp->send_transactional({ destination => $queue, body => 'transacted' });
    same('1', $done ? 1 : 0, 'transaction');
} else {
    $stomp->send_frame(Net::Stomp::Frame->new({
        command => 'BEGIN', headers => { transaction => 't' }, body => '',
    }));
    $stomp->send({ destination => $queue, body => 'transacted', transaction => 't' });
    $stomp->send_frame(Net::Stomp::Frame->new({
        command => 'COMMIT', headers => { transaction => 't' }, body => '',
    }));
}
$frame = next_body();
same('transacted', $frame->body, 'transacted body');
$stomp->nack({ frame => $frame });
if ($dialect eq 'rabbitmq') {
    $frame = next_body();
    same('transacted', $frame->body, 'refused comes again');
    $stomp->ack({ frame => $frame });
}

$stomp->send({ destination => $queue, body => "a\0b", bytes_message => 1 });
$frame = next_body();
same("a\0b", $frame->body, 'bytes');
$stomp->ack({ frame => $frame });
$stomp->unsubscribe({ destination => $queue, id => '1' });
$stomp->disconnect;
print "done\n";
