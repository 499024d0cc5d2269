#!/usr/bin/perl

# Kafka is away and the spool takes the events: all are acknowledged, and all
# are in Kafka once when it is back, whoever was killed, reloaded or changed
# meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Oracle;
use Track::Spool;
use Track::Util;

my $stack = edge_stack();
my $oracle = Track::Oracle->new($stack);
$stack->define('click', name => 'string!');

my $nginx = spool_nginx($stack, spool => 'segment=64k');
my $path = $nginx->dir . '/spool';


# --- Kafka is there ---

my $ids = spool_post($nginx, 5);
is_deeply([keys %$ids], ['204 kafka'], 'Kafka is there: kafka');
is_deeply([spool_list($path)], [], 'there is no spool yet');

my $both = spool_post($nginx, 50, path => '/spool');
is_deeply([keys %$both], ['204 spool'], 'track_ack spool: spool');
once_each($stack, 'spooled and delivered', $both->{'204 spool'});
wait_drained($path, 40);
is(counter($nginx, 'spool_delivered'), 0, 'the drain sent none of them');
is(counter($nginx, 'spool_records'), 50, 'spool_records');
cmp_ok(counter($nginx, 'spool_written'), '>', 50 * 100, 'spool_written');


# --- away ---

$stack->stop('kafka');
my $begin = now();
my $away = spool_post($nginx, 300);
is_deeply([keys %$away], ['204 spool'], 'Kafka is away: spool');
cmp_ok(now() - $begin, '<', 150, sprintf '300 after another in %.1f s',
    now() - $begin);
is(spool_waits($path), 300, 'they wait');
my @segments = spool_files($path, '*.seg');
cmp_ok(scalar @segments, '>', 1, 'in several segments');
is(spool_tool('verify', $path)->{rc}, 0, 'which are whole');

my $status = $nginx->status;
wait_for(20, 'gauges', sub {
    my $sum = 0;
    $sum += $_->{spool_records} || 0 for @{ $nginx->status->{workers} };
    return $sum == 300;
});
pass('the gauges say so');

# Rejected ones as well.
my $http = Track::HTTP->new($nginx->port);
my $got = $http->post('/track', [map { event('click') } 1 .. 3]);
is($got->{status}, 422, 'rejected events are kept in the spool');
is($got->{header}{'x-track-ack'}, 'spool', 'and the answer says so');
wait_spooled($path, 303);


# --- workers are replaced: others adopt what they leave ---

my @owned = map { $_->{edge} } spool_list($path);
$nginx->reload();
wait_for(60, 'adoption', sub {
    my @spools = spool_list($path);
    return @spools && !grep { !$_->{owned} } @spools;
});
is(spool_waits($path), 303, 'a reload: still all there');
cmp_ok(counter($nginx, 'spool_adopted'), '>=', 1, 'adopted');

my $more = spool_post($nginx, 20);
is_deeply([keys %$more], ['204 spool'], 'new workers spool as well');

kill 'KILL', $nginx->workers();
wait_for(10, 'new workers', sub { $nginx->workers() == 2 });
wait_schema($nginx);
my $again = spool_post($nginx, 20);
is_deeply([keys %$again], ['204 spool'], 'after kill -9, too');
cmp_ok(spool_waits($path), '>=', 343, 'none is lost');

my @all = map { @{ $_->{'204 spool'} } } $away, $more, $again;


# --- back ---

$stack->start('kafka');
my $took = wait_drained($path, 90);
pass(sprintf 'Kafka is back: drained in %.1f s', $took);
once_each($stack, 'all of them', \@all);

my ($one) = grep { $_->{value} =~ /"$all[0]"/ }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events');
my $json = json_decode($one->{value});
ok($json->{spooled}, 'drained records say so');
is($json->{fields}{name}, 'a', 'and are what they were');
is($one->{key}, $all[0], 'with their key');

# In order: of each worker's life, as far as a partition knows an order.
my (%last, @behind);
for (map { { %$_, json => json_decode($_->{value}) } }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events')) {
    next if !$_->{json}{spooled};
    my $lane = "$_->{json}{edge} $_->{partition}";
    push @behind, "$lane $_->{json}{seq}"
        if ($last{$lane} // 0) > $_->{json}{seq};
    $last{$lane} = $_->{json}{seq};
}
cmp_ok(scalar keys %last, '>=', 4, 'by several workers');
is_deeply(\@behind, [], 'drained in the order in which they came');

my @rejected = grep { $_->{value} =~ /"spooled":true/ }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events_rejected');
cmp_ok(scalar @rejected, '>=', 3, 'rejected ones went to their topic');

wait_removed($nginx, $path);
pass('adopted spools are removed');
wait_for(60, 'kafka again',
    sub { (keys %{ spool_post($nginx, 1) })[0] eq '204 kafka' });


# --- under load: outages, kills, fewer workers ---

my $url = 'http://127.0.0.1:' . $nginx->port;
my @loads = map { $oracle->start(url => "$url$_", seconds => 120, rate => 150) }
    '/track', '/spool';
Time::HiRes::sleep(1);
$stack->stop('kafka');
for (1 .. 4) {
    Time::HiRes::sleep(1);
    my ($worker) = $nginx->workers();
    kill 'KILL', $worker if $worker;
}
Time::HiRes::sleep(1);
$stack->start('kafka');
Time::HiRes::sleep(2);
kill 'KILL', $nginx->workers();
Time::HiRes::sleep(2);
my @sums = map { $oracle->finish($_) } @loads;
is_deeply([map { @{ $_->{wrong} } } @sums], [], 'every verdict was right');
wait_drained($path, 90);
$oracle->check('no acknowledged event is missing', log_only => 1, ledger => 0);


# --- leaving ---

wait_removed($nginx, $path);     # (those of the killed ones)
$nginx->stop('QUIT', 40);
is_deeply([spool_list($path)], [], 'nothing is left when nginx leaves');

done_testing();
