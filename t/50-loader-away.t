#!/usr/bin/perl

# ClickHouse or Kafka away, and a loader that is to stop meanwhile: it waits
# with bounded memory, goes on where it was, and ends within seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Loader;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new(qw(postgres kafka clickhouse));
my $loader = Track::Loader->stack($stack, sections => {
    batch  => "rows = 5000\nbytes = 4m",
    memory => 'limit = 16m',
});
my $n = 0;

# 4 partitions of so many records of about 1 kB.
sub produce_all {
    my ($count) = @_;

    for my $partition (0 .. 3) {
        Track::Loader::produce($stack, $partition,
            map { Track::Loader::record($n++, user_agent => 'u' x 800) } 1 .. $count);
    }
}

sub ends_well {
    my ($name) = @_;

    $loader->signal('TERM');
    my ($status, $seconds) = $loader->wait_end(30);
    is($status, 0, "$name: SIGTERM ends it well");
    cmp_ok($seconds // 30, '<', 20, "$name: within seconds");
}


subtest 'ClickHouse away, with a backlog' => sub {
    $loader->start()->wait_ready();
    produce_all(100);
    Track::Loader::once_ok($stack, 'all is there');
    my $before = $loader->memory();

    $stack->kill_part('clickhouse');
    produce_all(20_000);
    wait_for(60, 'all partitions to be paused',
        sub { $loader->metric('partitions_paused') == 4 });
    sleep 2;
    cmp_ok($loader->metric('open_bytes'), '<', 20 * 1024 * 1024,
        'batches keep to their limit');
    cmp_ok($loader->memory(), '<', $before + 120,
        "memory is bounded: $before MB before, " . $loader->memory() . ' MB now');
    is($loader->metric('clickhouse_up'), 0, 'the metric says that it is away');

    $stack->start('clickhouse');
    Track::Loader::once_ok($stack, 'it goes on: each offset once');
    cmp_ok($loader->memory(), '<', $before + 150, 'memory is bounded when it catches up');
};


subtest 'ClickHouse stopped in the middle' => sub {
    kill 'STOP', $stack->pid('clickhouse');
    produce_all(1000);
    sleep 2;
    ends_well('with an insert that nobody answers');
    $loader->start();
    sleep 2;
    ends_well('while it waits at its start');
    kill 'CONT', $stack->pid('clickhouse');

    $loader->start()->wait_ready();
    Track::Loader::once_ok($stack, 'each offset once');
};


subtest 'Kafka away' => sub {
    $stack->kill_part('kafka');
    wait_for(20, 'the metric to say so', sub { $loader->metric('kafka_up') == 0 });
    ends_well('with Kafka away');

    $loader->start();
    sleep 2;
    $stack->start('kafka');
    produce_all(200);
    Track::Loader::once_ok($stack, 'it goes on: each offset once');

    $stack->kill_part('kafka');
    $stack->start('kafka');
    produce_all(200);
    Track::Loader::once_ok($stack, 'a broker that comes back: each offset once');
    is($loader->metric('kafka_up'), 1, 'the metric says that it is back');
};


subtest 'ClickHouse refuses' => sub {
    Track::Loader::ch($stack, 'CREATE TABLE track.never (x UInt8) ENGINE = Null');
    Track::Loader::ch($stack, q{CREATE MATERIALIZED VIEW track.never_view TO track.never
        AS SELECT throwIf(seq % 100 = 7) AS x FROM track.events});
    produce_all(100);
    wait_for(20, 'the log to say so',
        sub { $loader->log =~ /\[error\].*the insert of offsets .* failed/ });
    sleep 2;
    Track::Loader::ch($stack, 'DROP VIEW track.never_view SYNC');
    Track::Loader::once_ok($stack, 'a view that throws, mended: each offset once');
    ends_well('at last');
};


done_testing();
