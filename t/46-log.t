#!/usr/bin/perl

# The error log under a flood and through an outage: for each kind of trouble a
# line of a worker, then rarer ones, from one a second to one a minute, with the
# number of those left out; each names the remedy, and none an address that is
# not to be kept.

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
my $nginx = Track::Nginx->new(stack => $stack,
    http => edge_conf('track_ack_timeout 500ms; track_ip off;'
        . 'track_kafka_property queue.buffering.max.messages 200;'))->start();
wait_schema($nginx);

my $good = json_encode(event('click', { name => 'a' }));

# What the lines of a kind say, and for how many they speak.
sub lines {
    my ($pattern) = @_;
    my @lines = grep { /$pattern/ } split /\n/, $nginx->error_log();
    my $all = @lines;

    /\((\d+) more of this line\)/ and $all += $1 for @lines;
    return \@lines, $all;
}


# How many lines of a kind two workers may write in so many seconds.
sub most { return 2 * (2 + int(log($_[0] + 1) / log 2)) }


# --- senders' mistakes are not the operator's ---

my $before = $nginx->log_count(qr/./);
my $http = Track::HTTP->new($nginx->port);
$http->post('/track', '{broken') for 1 .. 300;
cmp_ok($nginx->log_count(qr/./) - $before, '<', 20,
    'broken bodies leave no line each');


# --- Kafka is away: no confirmation, then no room in the queue ---

$stack->stop('kafka');
my @clients = map { Track::HTTP->new($nginx->port) } 1 .. 50;
my $begin = now();
my %statuses;
for my $round (1 .. 16) {
    $_->write($_->request('/track', $good)) for @clients;
    $statuses{ $_->read_response()->{status} }++ for @clients;
}
my $seconds = now() - $begin;
is_deeply(\%statuses, { 503 => 800 }, 'every request is refused');

my $counters = $nginx->status()->{counters};
cmp_ok($counters->{queue_full}, '>', 100, 'many of them: no room');
cmp_ok($counters->{ack_timeouts}, '>', 100, 'many of them: no confirmation');

for my $kind (['no confirmation', qr/has not confirmed/, 'ack_timeouts',
               qr/track_ack_timeout/],
              ['no room', qr/queue to Kafka is full/, 'queue_full',
               qr/queue\.buffering/])
{
    my ($name, $pattern, $counter, $remedy) = @$kind;
    my ($lines, $all) = lines($pattern);

    cmp_ok(scalar @$lines, '>', 0, "$name: is logged");
    cmp_ok(scalar @$lines, '<=', most($seconds), "$name: rarer and rarer");
    cmp_ok($all, '<=', $counters->{$counter}, "$name: none is told twice");
    is((grep { !/$remedy/ } @$lines), 0, "$name: the remedy is named");
}

Time::HiRes::sleep(15);
cmp_ok($nginx->log_count(qr/track: Kafka: /), '<=', most(now() - $begin),
    'an outage is told of rarer and rarer');
is($nginx->log_count(qr/librdkafka FAIL/), 0, 'and once');

is($nginx->log_count(qr/track: (?!librdkafka|Kafka: ).*(?:client: )?127\.0\.0\.1/),
    0, 'no line of ours has the address of a client');


done_testing();
