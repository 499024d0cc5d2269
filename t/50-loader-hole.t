#!/usr/bin/perl

# The hole: ClickHouse killed between writing a block's deduplication token and
# its rows.  The block sent again is answered 200 and dropped in silence.  Here
# the hole is planted: the loader has committed its intent and cannot insert;
# meanwhile somebody inserts under the very token, and that part's folder is
# removed while the server is down.  The loader must see that the rows are not
# there, and may use a new token because the server has started since.
#
# Then the other side: rows that are absent although no server has started (an
# operator deleted them) must not get a new token.

use strict;
use warnings;

use File::Path ();
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use HTTP::Tiny;
use Track::Loader;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new(qw(postgres kafka clickhouse));
my $loader = Track::Loader->stack($stack)->start()->wait_ready();


# A row of its own under the loader's token.
sub insert_under {
    my ($token) = @_;
    my $sql = 'INSERT INTO track.events (event_type, event_date, kafka_topic) '
        . "VALUES ('planted', today(), 'elsewhere')";
    my $url = $stack->env('CLICKHOUSE_URL') . '/?async_insert=0&insert_deduplicate=1'
        . "&insert_deduplication_token=$token";
    my $response = HTTP::Tiny->new->post($url, { content => $sql });

    die $response->{content} if !$response->{success};
}


# The folders of all active parts of events.
sub parts {
    return split /\n/, Track::Loader::ch($stack, q{SELECT path FROM system.parts
        WHERE database = 'track' AND table = 'events' AND active});
}


sub plant {
    my ($token) = @_;

    $loader->signal('STOP');
    $stack->start('clickhouse');
    my %before = map { $_ => 1 } parts();
    insert_under($token);
    my ($planted) = grep { !$before{$_} } parts();
    $stack->kill_part('clickhouse');

    ok(-d $planted, 'the planted part is there');
    File::Path::remove_tree($planted);
    $stack->start('clickhouse');
    is(Track::Loader::ch($stack, q{SELECT count() FROM track.events
        WHERE event_type = 'planted'}), 0, 'and gone');
    $loader->signal('CONT');
}


my $day = substr rfc3339(now() * 1000), 0, 10;

subtest 'a hole in a block of one' => sub {
    $stack->kill_part('clickhouse');
    Track::Loader::produce($stack, 0, Track::Loader::record(1));
    wait_for(20, 'an insert that fails', sub { $loader->metric('insert_retries_total') > 0 });

    plant("tracking_events/0/0-0/$day");

    Track::Loader::once_ok($stack, 'the row stands, once');
    is($loader->metric('holes_total'), 1, 'by a new token');
    like($loader->log, qr/died between a block's token and its rows/, 'the log says so');
};


subtest 'the next owner finds a hole' => sub {
    $stack->kill_part('clickhouse');
    Track::Loader::produce($stack, 0, Track::Loader::record(2));
    wait_for(20, 'an insert that fails', sub { $loader->metric('insert_retries_total') > 1 });
    $loader->kill9();

    $loader->start();
    plant("tracking_events/0/1-1/$day");

    Track::Loader::once_ok($stack, 'the row stands, once');
    is($loader->metric('holes_total'), 1, 'by a new token');
};


subtest 'absent without a restart' => sub {
    wait_for(20, 'the loader to be idle', sub { $loader->metric('lag_records') == 0 });
    $loader->signal('TERM');
    $loader->wait_end(10);

    # An intent is left for a block that was inserted and then deleted.
    Track::Loader::ch($stack, 'ALTER TABLE track.events DELETE WHERE kafka_offset = 1 '
        . 'SETTINGS mutations_sync = 2');
    sleep 2;        # uptime is known to the second: this start was before
    my $at = int(now() * 1000);
    Track::Loader::admin($stack, 'commit', 'track-loader', 'tracking_events', 0, 1,
        qq({"first":1,"last":1,"at":$at,"token":2}));

    $loader->start()->wait_ready();
    wait_for(30, 'the alarm', sub { $loader->log =~ /but not all of them stand/ });
    is(Track::Loader::ch($stack, q{SELECT count() FROM track.events}), 1,
        'the row is not inserted under a new token');
    is($loader->metric('holes_total'), 0, 'it is no hole');

    $loader->signal('TERM');
    my ($status, $seconds) = $loader->wait_end(10);
    is($status, 0, 'SIGTERM ends the loader all the same');
    cmp_ok($seconds, '<', 9, 'within seconds');
};


done_testing();
