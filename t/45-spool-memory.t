#!/usr/bin/perl

# A long outage: the spool takes what comes, and the worker's memory does not
# grow with it.  What was forgotten meanwhile is found again when Kafka is back,
# also by a worker that adopts it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Spool;
use Track::Util;

use constant { EVENTS => 500, MOST => 1024 };       # of a request; KiB

plan skip_all => 'sanitizers keep what was freed' if $ENV{TRACK_PRELOAD};

my $stack = edge_stack();
$stack->define('click', name => 'string!');

my $nginx = spool_nginx($stack, workers => 1, spool => 'segment=1m',
    extra => 'track_max_events ' . EVENTS . ';');
my $path = $nginx->dir . '/spool';
my $body = json_encode([map { event('click', { name => 'a' }) } 1 .. EVENTS]);


# Posts so many events; returns how many were not taken by the spool.
sub fill {
    my ($n) = @_;
    my $http = Track::HTTP->new($nginx->port);
    my $other = 0;

    for (1 .. $n / EVENTS) {
        my $got = $http->post('/track', $body);
        $other++ if $got->{status} != 204
            || $got->{header}{'x-track-ack'} ne 'spool';
    }

    return $other;
}

sub rss {
    my ($worker) = $nginx->workers();

    return slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : die;
}


$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($nginx, 1)->{'204 spool'} });

is(fill(50_000), 0, '50,000 events in the spool');
Time::HiRes::sleep(5);
my $before = rss();
is(fill(400_000), 0, 'and 400,000');
Time::HiRes::sleep(5);
my $grown = rss() - $before;
cmp_ok($grown, '<', MOST, "they take $grown KiB of memory");
my $held = counter($nginx, 'spool_records');
cmp_ok($held, '>', 450_000, 'all of them are there');


# --- the worker is killed: whoever adopts it ---

kill 'KILL', $nginx->workers();
wait_for(60, 'adoption', sub {
    my $slot = ($nginx->status->{workers} || [])->[0] or return;
    return ($slot->{spool_records} || 0) == $held;
});
pass('another worker has them all');


# --- Kafka is back ---

$stack->start('kafka');
wait_drained($path, 120);
is(counter($nginx, 'spool_delivered'), $held, 'each was sent once');

done_testing();
