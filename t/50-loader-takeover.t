#!/usr/bin/perl

# Partitions that change hands: a loader killed with an insert under way, an
# operator's reset, a deleted group, loaders that join, sleep and wake, two of
# one name, a topic made anew.  Each offset stands exactly once throughout.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Loader;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new(qw(postgres kafka clickhouse));
my $one = Track::Loader->stack($stack, name => 'one');
my $n = 0;


sub produce_all {
    my ($count) = @_;

    for my $partition (0 .. 3) {
        Track::Loader::produce($stack, $partition,
            map { Track::Loader::record($n++, day => $_ % 3) } 1 .. $count);
    }
}


subtest 'killed with inserts under way' => sub {
    # Blocks of events take seconds while this view is there.
    Track::Loader::ch($stack, q{CREATE TABLE track.slow (x UInt8) ENGINE = Null});
    Track::Loader::ch($stack, q{CREATE MATERIALIZED VIEW track.slow_view TO track.slow
        AS SELECT sleepEachRow(0.02) AS x FROM track.events});

    $one->start()->wait_ready();
    produce_all(150);

    wait_for(20, 'inserts under way', sub {
        Track::Loader::ch($stack, q{SELECT count() FROM system.processes
            WHERE startsWith(query_id, 'track-loader/')}) >= 3;
    });
    $one->kill9();
    Track::Loader::ch($stack, 'DROP VIEW track.slow_view SYNC');

    $one->start()->wait_ready();
    Track::Loader::once_ok($stack, 'each offset once');
    like($one->log, qr/with an intent/, 'the next one found the intents');
    cmp_ok($one->metric('looks_total'), '>', 0, 'and looked after sending');
};


subtest 'reset to the beginning' => sub {
    $one->signal('TERM');
    my ($status, $seconds) = $one->wait_end(10);
    is($status, 0, 'SIGTERM ends it well');
    cmp_ok($seconds, '<', 9, 'within seconds');

    Track::Loader::admin($stack, 'commit', 'track-loader', 'tracking_events', $_, 0)
        for 0 .. 3;

    produce_all(20);
    $one->start()->wait_ready();
    Track::Loader::once_ok($stack, 'each offset once');
    wait_for(20, 'the looks to be over',
        sub { $one->metric('partitions_looking') == 0 });
    is($one->metric('rows_total'), 80, 'only what was new was inserted');
};


subtest 'the group deleted' => sub {
    $one->signal('TERM');
    $one->wait_end(10);
    Track::Loader::admin($stack, 'delete-group', 'track-loader');

    produce_all(20);
    $one->start()->wait_ready();
    Track::Loader::once_ok($stack, 'each offset once');
};


subtest 'a second loader, a sleeper that wakes' => sub {
    my $two = Track::Loader->new($stack, name => 'two')->start()->wait_ready();

    wait_for(30, 'two partitions each', sub {
        $one->metric('partitions') == 2 && $two->metric('partitions') == 2;
    });
    produce_all(50);
    $one->signal('STOP');
    produce_all(50);

    wait_for(40, 'the second to own all', sub { $two->metric('partitions') == 4 });
    Track::Loader::once_ok($stack, 'each offset once, the first asleep');

    produce_all(50);
    $one->signal('CONT');
    produce_all(50);
    wait_for(40, 'two partitions each', sub {
        ($one->metric('partitions') // 0) == 2 && $two->metric('partitions') == 2;
    });
    Track::Loader::once_ok($stack, 'each offset once, the first awake');

    $two->kill9();
    produce_all(50);
    Track::Loader::once_ok($stack, 'each offset once, the second dead');
};


subtest 'two loaders of one name' => sub {
    my $twin = Track::Loader->new($stack, name => 'one')->start();
    my ($status) = $one->wait_end(30);

    is($status, 1, 'the older one ends');
    like($one->log, qr/another loader has joined the group with this one's/,
        'and says why');
    produce_all(20);
    Track::Loader::once_ok($stack, 'each offset once');
    $twin->signal('TERM');
    $twin->wait_end(10);
    $one = $twin;       # the configuration has its port now
};


subtest "metadata that is not a loader's" => sub {
    Track::Loader::admin($stack, 'commit', 'track-loader', 'tracking_events', 2, 5,
        'moved by hand');
    $one->start()->wait_ready();
    wait_for(20, 'the log to say so', sub {
        $one->log =~ m{tracking_events/2: is not taken: the metadata .* "moved by hand"};
    });
    is($one->metric('partitions'), 3, 'the partition is not taken');
    $one->signal('TERM');
    $one->wait_end(10);

    Track::Loader::admin($stack, 'commit', 'track-loader', 'tracking_events', 2, 5);
    produce_all(20);
    $one->start()->wait_ready();
    Track::Loader::once_ok($stack, 'committed without: taken, each offset once');
    $one->signal('TERM');
    $one->wait_end(10);
};


subtest 'the topic made anew' => sub {
    Track::Loader::admin($stack, 'delete-topic', 'tracking_events');
    my $before = Track::Loader::ch($stack, 'SELECT count() FROM track.events');
    wait_for(30, 'the topic to be there again', sub {
        eval { Track::Loader->stack($stack, name => 'one');
               Track::Loader::log_ends($stack) };
    });
    produce_all(5);

    $one = Track::Loader->new($stack, name => 'anew')->start();
    wait_for(30, 'the log to say so',
        sub { $one->log =~ /the topic was made anew or cut/ });
    is($one->metric('partitions'), 0, 'no partition is taken');
    is(Track::Loader::ch($stack, 'SELECT count() FROM track.events'), $before,
        'and nothing inserted');
    $one->signal('TERM');
    is(($one->wait_end(10))[0], 0, 'it waits, and ends when told');
};


done_testing();
