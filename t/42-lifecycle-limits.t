#!/usr/bin/perl

# Life beside and within limits: a new configuration by reload, helper processes
# of nginx, worker_shutdown_timeout, a full producer queue, a hanging broker, and
# that nobody spins when there is nothing to do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $good = event('click', { name => 'a' });

# The first one's queue is small, the second one's patience.
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(q{
    track_kafka_property queue.buffering.max.messages 10;
    track_ack_timeout 1s;
    proxy_cache_path %%DIR%%/cache keys_zone=cache:1m;
}))->start();
my $hasty = Track::Nginx->new(stack => $stack, http => edge_conf(),
    main => 'worker_shutdown_timeout 1s;')->start();
wait_schema($_) for $nginx, $hasty;

sub post {
    my ($path, $body, $which) = @_;
    return Track::HTTP->new(($which || $nginx)->port)->post($path, $body);
}

# Hundredths of a second of CPU that processes have used.
sub ticks {
    my $sum = 0;
    for my $pid (@_) {
        my @fields = split ' ', slurp("/proc/$pid/stat");
        $sum += $fields[13] + $fields[14];
    }
    return $sum;
}

sub idle {
    my ($name) = @_;
    my @pids = ($nginx->workers(), $hasty->workers(), $stack->pid('loader'));
    my $before = ticks(@pids);
    Time::HiRes::sleep(2);
    cmp_ok(ticks(@pids) - $before, '<', 60,
        "$name: workers and loader are idle");
}


# --- helper processes have no producer and no schema thread ---

my @workers = $nginx->workers();
for my $pid ($nginx->children()) {
    next if grep { $_ == $pid } @workers;
    my @threads = glob "/proc/$pid/task/*";
    is(scalar @threads, 1, 'a cache process has one thread');
}
wait_for(20, 'the line', sub { $nginx->log_count(qr/schema .* is in force/) });
is($nginx->log_count(qr/schema .* is in force/), 1, 'one worker reads the schema');
idle('all services there');


# --- a new configuration ---

is(post('/small', [($good) x 3])->{status}, 204, 'three events are allowed');
$nginx->configure(edge_conf() =~ s/track_max_events 3/track_max_events 2/r
    =~ s/(location = \/small)/location = \/new { track; }\n$1/r);
$nginx->reload();
is(post('/small', [($good) x 3])->{status}, 413, 'after a reload two');
is(post('/new', $good)->{status}, 204, 'a new location');

my $requests = $nginx->status()->{counters}{requests};
cmp_ok($requests, '>', 0, 'counters were kept');
$nginx->configure(edge_conf() =~ s/track:8m/track:9m/r);
$nginx->reload();
is(post('/track', $good)->{status}, 204, 'another size of zone: served');
cmp_ok($nginx->status()->{counters}{requests}, '<', $requests,
    'a fresh zone begins to count anew');
$stack->define('in a fresh zone');
wait_verdict($nginx, '', 'in a fresh zone');
pass('and learns of schema changes');

$nginx->configure(edge_conf('track_ack_timeout nonsense;'));
my $check = $nginx->check();
isnt($check->{rc}, 0, 'a wrong configuration fails nginx -t');
kill 'HUP', $nginx->pid;
wait_for(20, 'the refusal', sub { $nginx->log_count(qr/\[emerg\].*invalid/) });
is(post('/track', $good)->{status}, 204, 'and leaves the old one at work');
push @{ $nginx->{known} }, qr/\[emerg\].*track_ack_timeout/;

$nginx->configure("server { listen 127.0.0.1:%%PORT%%; return 200 'bare'; }");
$nginx->reload();
is(post('/track', $good)->{body}, 'bare', 'a configuration without track');
$nginx->configure(edge_conf(q{
    track_kafka_property queue.buffering.max.messages 10;
    track_ack_timeout 1s;
}));
$nginx->reload();
wait_schema($nginx);
is(post('/track', $good)->{status}, 204, 'and back');


# --- a broker that hangs ---

$stack->signal('kafka', 'STOP');
my $begin = now();
is(post('/track', $good)->{status}, 503, 'Kafka hangs: 503');
cmp_ok(now() - $begin, '<', 10, 'in time');

# Ten events find room in a worker's queue; what does not is refused at once.
is(post('/track', [($good) x 11])->{status}, 503, 'more than the queue holds');
my @more = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 60;
$begin = now();
$_->write($_->request('/track', json_encode($good))) for @more;
my @answers = map { $_->read_response() } @more;
is_deeply([grep { $_->{status} != 503 } @answers], [], 'a full queue: 503');
is($answers[0]{json}{error}{code}, 'unavailable', 'unavailable');
cmp_ok($nginx->status()->{counters}{queue_full}, '>=', 40,
    'counted as queue_full');
idle('Kafka hangs');

my @stuck = map { Track::HTTP->new($hasty->port)->connect() } 1 .. 3;
$_->write($_->request('/track', json_encode($good))) for @stuck;
wait_for(20, 'them to be under way', sub {
    $hasty->status()->{counters}{events_accepted} >= 3 });
my $took = $hasty->stop('QUIT', 30);
cmp_ok($took, '<', 9, sprintf 'worker_shutdown_timeout: gone after %.1f s',
    $took);

$stack->signal('kafka', 'CONT');
wait_for(60, '204 again', sub { post('/track', $good)->{status} == 204 });
pass('Kafka awake: 204 again');

$stack->stop('kafka');
idle('Kafka away');
$stack->stop('clickhouse');
$stack->stop('postgres');
idle('everything away');

done_testing();
