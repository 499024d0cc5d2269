#!/usr/bin/perl

# Kafka is away: at the configuration test, at start, meanwhile.  Requests are
# answered 503 in time with Retry-After, the rest of nginx goes on, and events
# are taken again when it is back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Oracle;
use Track::Util;

my $stack = edge_stack();
my $oracle = Track::Oracle->new($stack);
$stack->define('click', name => 'string!');
my $good = event('click', { name => 'a' });


# --- the configuration test needs no network at all ---

my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(q{
    track_ack_timeout 2s;
}));

my $elsewhere = Track::Nginx->new(stack => $stack, http => edge_conf(),
    replace => { KAFKA => 'kafka.invalid:9092,10.255.255.1:9092',
        POSTGRES => 'host=postgres.invalid dbname=track' });
my $check = $elsewhere->check();
is($check->{rc}, 0, 'nginx -t with unreachable names') or diag($check->{err});
cmp_ok($check->{seconds}, '<', 8, sprintf 'takes no time (%.2f s)',
    $check->{seconds});

my @unshare = $> == 0 ? ('unshare', '--net') : ('unshare', '--net', '--user');
$check = run({ timeout => 20 }, @unshare, $elsewhere->command('-t'));
is($check->{rc}, 0, 'nginx -t without any network') or diag($check->{err});

my $begin = now();
$elsewhere->start();
is(Track::HTTP->new($elsewhere->port)->post('/track', $good)->{json}{error}
    {code}, 'no_schema', 'it starts, and answers');
$elsewhere->reload();
cmp_ok(now() - $begin, '<', 40, 'start and reload with unreachable names');
cmp_ok($elsewhere->stop(), '<', 25, 'and leaves');


# --- away ---

$nginx->start();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);
is($http->post('/track', $good)->{status}, 204, 'Kafka is there: 204');
$stack->stop('kafka');

my @waiting = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 20;
$begin = now();
$_->write($_->request('/track', json_encode($good))) for @waiting;

# While they wait the worker serves others.
my $slowest = 0;
for (1 .. 10) {
    my $begin = now();
    $nginx->status();
    my $took = now() - $begin;
    $slowest = $took if $took > $slowest;
    Time::HiRes::sleep(0.05);
}
cmp_ok($slowest, '<', 1.5, sprintf 'others are served in %.3f s', $slowest);

my @answers = map { $_->read_response() } @waiting;
my $took = now() - $begin;
is_deeply([map { $_->{status} } @answers], [(503) x 20], 'Kafka away: 503');
is($answers[0]{json}{error}{code}, 'unavailable', 'unavailable');
like($answers[0]{header}{'retry-after'}, qr/^\d+$/, 'Retry-After');
cmp_ok($took, '>', 1.8, 'after track_ack_timeout');
cmp_ok($took, '<', 15, sprintf 'and no later (%.1f s)', $took);
is($waiting[0]->post('/track', '[]', 'Content-Type' => 'image/png')->{status},
    415, 'the connection lives on');

is($http->post('/track', [$good, event('click')])->{status}, 503,
    'a batch of which some are rejected: 503 too');
is($http->post('/track', [event('click')])->{status}, 503,
    'what names rejected events is told when they are kept: 503');

# A client that does not wait changes nothing.
my $leaver = Track::HTTP->new($nginx->port)->connect();
my $left = uuid();
$leaver->write($leaver->request('/track', json_encode(event('click',
    { name => 'left' }, event_id => $left))));
$leaver->close();

$check = $nginx->check();
is($check->{rc}, 0, 'nginx -t with Kafka away');

# (Old workers stay a while for what they still hope to deliver.)
my %old = map { $_ => 1 } $nginx->workers();
$nginx->signal('HUP');
wait_for(30, 'new workers', sub {
    my @now = $nginx->workers();
    return @now == 2 && !grep { $old{$_} } @now;
});
$http = Track::HTTP->new($nginx->port);
is($http->post('/track', $good)->{status}, 503, 'new workers answer 503 too');


# --- back ---

$begin = now();
$stack->start('kafka');
wait_for(60, '204 again', sub {
    $http->post('/track', $good)->{status} == 204 });
pass(sprintf 'Kafka is back: 204 after %.1f s', now() - $begin);


# --- goes and comes under load; frozen; killed ---

my $url = 'http://127.0.0.1:' . $nginx->port . '/track';
my $load = $oracle->start(url => $url, seconds => 90, rate => 300);
Time::HiRes::sleep(1);

kill 'STOP', $stack->pid('kafka');
Time::HiRes::sleep(4);
kill 'CONT', $stack->pid('kafka');
Time::HiRes::sleep(1);
$stack->kill_part('kafka');
Time::HiRes::sleep(1);
$stack->start('kafka');
wait_for(60, '204 again', sub {
    $http->post('/track', $good)->{status} == 204 });
Time::HiRes::sleep(1);

my $summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'every verdict was right');
ok($summary->{answers}{503}, 'there were 503s meanwhile');
is_deeply([grep { /^\d/ && !/^(?:200|204|422|503)$/ }
    keys %{ $summary->{answers} }], [], 'and no other failure')
    or diag(explain($summary->{answers}));
$oracle->check('every acknowledged event is in Kafka', log_only => 1);


# --- leaving with Kafka away ---

# Events of so many clients, when nginx has them: who has connected only is not
# waited for.
sub stuck {
    my ($n) = @_;
    my $before = $nginx->status()->{counters}{events_accepted};
    my @clients = map { Track::HTTP->new($nginx->port)->connect() } 1 .. $n;

    $_->write($_->request('/track', json_encode($good))) for @clients;
    wait_for(20, "$n requests under way", sub {
        $nginx->status()->{counters}{events_accepted} >= $before + $n });

    return @clients;
}

$stack->stop('kafka');
my @stuck = stuck(3);
$took = $nginx->stop('QUIT', 60);
cmp_ok($took, '<', 25, sprintf 'QUIT with Kafka away: gone after %.1f s',
    $took);
is_deeply([map { $_->read_response()->{status} } @stuck], [(503) x 3],
    'those that waited were answered');

$nginx->start();
@stuck = stuck(3);
$took = $nginx->stop('TERM', 30);
cmp_ok($took, '<', 9, sprintf 'TERM with Kafka away: gone after %.1f s', $took);

done_testing();
