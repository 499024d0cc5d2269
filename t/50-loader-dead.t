#!/usr/bin/perl

# What cannot be decoded: unchanged on the dead-letter topic, with a reason and
# its coordinates, before anything behind it is committed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Kafka;
use Track::Loader;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new(qw(postgres kafka clickhouse));
my $brokers = $stack->env('KAFKA_BROKERS');
my $loader = Track::Loader->stack($stack);

my @bad = (
    ['not json', qr/not JSON/],
    ["\xff\xfe\x00binary", qr/./],
    ['{"event_type":1}', qr/event_type/],
    ['[]', qr/./],
    [Track::Loader::record(1, event_id => 'no uuid'), qr/event_id/],
    [Track::Loader::record(1, received_at => 'yesterday'), qr/received_at/],
    ['x' x 1_000_000, qr/not JSON/],
);


sub dead {
    my @records = kafka_records($brokers, 'tracking_events_dead');
    return @records;
}


subtest 'with its topic away' => sub {
    Track::Loader::admin($stack, 'delete-topic', 'tracking_events_dead');
    $loader->start()->wait_ready();
    Track::Loader::produce($stack, 1, Track::Loader::record(0), 'lost?',
        Track::Loader::record(2));
    Track::Loader::once_ok($stack, 'the good ones are in', dead => 1);
    sleep 1;
    like(Track::Loader::admin($stack, 'committed', 'track-loader',
        'tracking_events', 1), qr/^0 \{"first":0,"last":2/,
        'but nothing is committed behind what is not safe');
    $loader->kill9();

    $loader->migrate();
    $loader->start()->wait_ready();
    wait_for(60, 'the dead letter', sub { eval { scalar(my @all = dead()) } });
    my ($record) = dead();
    is($record->{value}, 'lost?', 'it arrives when the topic is there again');
    wait_for(20, 'the commit', sub { Track::Loader::admin($stack, 'committed',
        'track-loader', 'tracking_events', 1) =~ /^3 $/m });
    Track::Loader::once_ok($stack, 'and the good ones stand once', dead => 1);
};


subtest 'each kind' => sub {
    my $before = my @before = dead();
    Track::Loader::produce($stack, 2, $_->[0]) for @bad;
    kafka_produce($brokers, 'tracking_events', 'grave|', undef, '-p', 2, '-Z',
        '-K', '|');
    Track::Loader::produce($stack, 2, Track::Loader::record(9));

    wait_for(30, 'dead letters', sub { (my @all = dead()) == $before + @bad + 1 });
    my @got = grep { $_->{headers} =~ /track-partition=2/ } dead();

    for my $i (0 .. $#bad) {
        is($got[$i]{value}, $bad[$i][0], "letter $i: unchanged");
        my ($reason) = $got[$i]{headers} =~ /track-reason=(.*),track-topic=/;
        like($reason, $bad[$i][1], "letter $i: its reason");
        like($got[$i]{headers}, qr/track-topic=tracking_events,track-partition=2,track-offset=$i$/,
            "letter $i: its coordinates");
    }

    is($got[-1]{value}, undef, 'a tombstone stays one');
    is($got[-1]{key}, 'grave', 'with its key');
    Track::Loader::once_ok($stack, 'the good one behind them is in',
        dead => @bad + 2);
};


done_testing();
