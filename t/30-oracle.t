#!/usr/bin/perl

# The oracle itself: a detector that has never detected anything proves nothing.
# Faults are planted in the load's file, in the log and in the tables, and each
# must be found under its name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::ClickHouse;
use Track::Edge;
use Track::Kafka;
use Track::Nginx;
use Track::Oracle;
use Track::Util;

my $stack = edge_stack();
my $oracle = Track::Oracle->new($stack);
my $url = $stack->env('CLICKHOUSE_URL');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf())->start();
wait_schema($nginx);

my $load = $oracle->start(seconds => 3, rate => 200,
    url => 'http://127.0.0.1:' . $nginx->port . '/track');
my $summary = $oracle->finish($load, wait => 1);
is_deeply($summary->{wrong}, [], 'a load without faults: no complaint');
cmp_ok($summary->{verdicts}{$_} || 0, '>', 0, "with $_ events")
    for qw(acked rejected);
ok($oracle->check('and all is well'), 'the checker agrees');

my $file = $oracle->{loads}[0];
my $entries = slurp($file);


# Runs the checker on what was spoilt; it must fail and name the fault.
sub found {
    my ($name, $kind) = @_;
    my $got = run({ timeout => 120 }, 'python3', root() . '/t/oracle/check.py',
        '--kafka', $stack->env('KAFKA_BROKERS'), '--clickhouse', $url,
        '--wait', 2, $file);

    is($got->{rc}, 1, "$name: the checker fails");
    like($got->{out}, qr/^\Q$kind\E: \d/m, "$name: $kind")
        or diag($got->{out}, $got->{err});

    return $got->{out};
}

# ALTER … UPDATE and DELETE, done when the query returns.
sub spoil {
    my ($sql) = @_;
    clickhouse_do($url, "ALTER TABLE events $sql SETTINGS mutations_sync = 2");
}

my ($some) = clickhouse_rows($url, 'SELECT event_id, kafka_partition AS p,'
    . ' kafka_offset AS o FROM events WHERE f_o_int IS NOT NULL LIMIT 1');
my $where = "event_id = '$some->{event_id}'";


# --- promises that the log does not keep ---

my $lost = uuid();
spit($file, $entries . json_encode({ id => $lost, verdict => 'acked',
    event => qq({"event_type":"oracle_event","event_id":"$lost"}) }) . "\n");
found('an acknowledged event that is lost', 'acknowledged, but not in Kafka');

spit($file,
    $entries =~ s/("id": "$some->{event_id}", "verdict": )"acked"/$1"rejected"/r);
found('a rejected event that was kept', 'rejected, but in Kafka');

spit($file,
    $entries =~ s/(\Q$some->{event_id}\E\\",\\"session_id\\":\\"s)/$1x/r);
found('a record with another session', 'record differs from what was sent');
spit($file, $entries);


# --- rows ---

spoil("UPDATE f_o_int = f_o_int + 1, seq = seq + 1 WHERE $where");
my $out = found('two integers that are off by one',
    'row differs from its record');
like($out, qr/\): $_ is/, "$_ is named") for qw(f_o_int seq);
spoil("UPDATE f_o_int = f_o_int - 1, seq = seq - 1 WHERE $where");
$oracle->check('undone: all is well again');

clickhouse_do($url, "INSERT INTO events SELECT * FROM events WHERE $where");
found('a row twice', 'offset is more than once');
spoil("DELETE WHERE $where");
found('a row that is missing', 'offset is nowhere');

clickhouse_do($url, 'INSERT INTO events_skipped (why, event_date, kafka_topic,'
    . " kafka_partition, kafka_offset) VALUES ('duplicate', today(),"
    . " 'tracking_events', $some->{p}, $some->{o})");
$oracle->check('a row that was skipped on purpose is not missing');

clickhouse_do($url, 'INSERT INTO events (event_type, event_id, event_date,'
    . ' kafka_topic, kafka_partition, kafka_offset) VALUES (\'x\','
    . " generateUUIDv4(), today(), 'tracking_events', 0, 1000000)");
found('a row from nowhere', 'offset is not in the log');

done_testing();
