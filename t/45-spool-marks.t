#!/usr/bin/perl

# A worker is killed while it drains: what Kafka has confirmed is marked soon
# after, so few records are sent again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Spool;
use Track::Util;

use constant { EVENTS => 500, RECORDS => 100_000, MOST => 5_000 };

my $stack = edge_stack();
$stack->define('click', name => 'string!');

my $nginx = spool_nginx($stack, workers => 1);
my $path = $nginx->dir . '/spool';
my $http = Track::HTTP->new($nginx->port);
my $body = json_encode([map { event('click', { name => 'a' }) } 1 .. EVENTS]);


$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($nginx, 1)->{'204 spool'} });
$http->post('/track', $body) for 1 .. RECORDS / EVENTS;
my $records = counter($nginx, 'spool_records');
cmp_ok($records, '>', RECORDS, "$records records in the spool");

$stack->start('kafka');
my $delivered = 0;
for my $part (1 .. 3) {
    wait_for(60, 'the drain', sub {
        Time::HiRes::sleep(0.002);
        return counter($nginx, 'spool_delivered') > $delivered + RECORDS / 5;
    });
    kill 'KILL', $nginx->workers();
    $delivered = counter($nginx, 'spool_delivered');
    isnt(spool_waits($path), 0, "killed after $delivered were sent");
}

wait_drained($path, 90);
my $twice = counter($nginx, 'spool_delivered') - $records;
cmp_ok($twice, '>=', 0, 'all of them were delivered');
cmp_ok($twice, '<', MOST, "and $twice were sent again after three kills");

done_testing();
