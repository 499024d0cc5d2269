#!/usr/bin/perl

# The loader and the schema: a column for each field as soon as PostgreSQL
# announces it and before a row needs it; PostgreSQL or ClickHouse away meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::ClickHouse;
use Track::HTTP;
use Track::Kafka;
use Track::Stack;
use Track::Util;

use constant LIMIT => 20;   # seconds from COMMIT to the column

my $stack = Track::Stack->new(qw(postgres kafka clickhouse loader));
my $brokers = $stack->env('KAFKA_BROKERS');
my $url = $stack->env('CLICKHOUSE_URL');
my $offset = 0;


sub column {
    my ($name) = @_;

    return clickhouse_value($url, 'SELECT concat(type, \' \', comment) FROM'
        . ' system.columns WHERE database = \'track\' AND table = \'events\''
        . " AND name = '$name'");
}

# A record of partition 0, with the schema's version now or as told.
sub produce {
    my ($fields, $version, $type) = @_;
    $version //= version();

    kafka_produce($brokers, 'tracking_events', sprintf('{"event_type":"%s",'
        . '"event_id":"%s","received_at":"%s","schema_version":"%s","fields":%s}',
        $type // 'shop', uuid(), rfc3339(int(now() * 1000)), $version, $fields),
        undef, '-p', 0);

    return $offset++;
}

sub version {
    return $stack->psql('SELECT left(lineage::text, 8) || \'-\' || number'
        . ' FROM track_schema_version()') =~ s/\n//r;
}

# A value of the row of an offset, as soon as it is there.
sub value_of {
    my ($at, $what, $seconds) = @_;
    my $where = "FROM events WHERE kafka_partition = 0 AND kafka_offset = $at";

    wait_for($seconds // 20, "offset $at", sub {
        eval { clickhouse_value($url, "SELECT count() $where") } });
    return clickhouse_value($url, "SELECT $what $where");
}

sub metric {
    my ($name) = @_;
    my $got = Track::HTTP->new($stack->port('loader'))->get('/metrics');

    return $got->{body} =~ /^track_loader_$name (\S+)$/m ? $1 : undef;
}

# "status body" of a page of the loader's own HTTP.
sub page {
    my ($path, $post) = @_;
    my $http = Track::HTTP->new($stack->port('loader'));
    my $got = $post ? $http->post($path, '') : $http->get($path);

    return "$got->{status} $got->{body}";
}

sub field {
    my ($name, $data_type) = @_;

    $stack->psql('INSERT INTO event_fields (event_type_id, name, data_type)'
        . " SELECT id, '$name', '$data_type' FROM event_types WHERE name = 'shop';");
}


# --- metrics and health ---

is(page('/healthz'), "200 ok\n", '/healthz');
is(page('/readyz'), "200 ok\n", '/readyz');
like(page('/'), qr/^404 there are/, 'other pages');
like(page('/metrics', 1), qr/^405 /, 'other methods');

my $metrics = page('/metrics');
my @samples = $metrics =~ /^(track_loader_\w+) -?\d+$/mg;
cmp_ok(scalar @samples, '>', 20, 'metrics');
is_deeply([sort @samples], [sort $metrics =~ /^# TYPE (\w+) (?:counter|gauge)$/mg],
    'each with its type');
is_deeply([sort @samples], [sort $metrics =~ /^(?:200 )?# HELP (\w+) \w/mg], 'and help');


# --- announced ---

my %type = (string => 'Nullable(String)', int => 'Nullable(Int64)',
    float => 'Nullable(Float64)', bool => 'Nullable(Bool)', json =>
    'Nullable(String)', timestamp => 'Nullable(DateTime64(3, \'UTC\'))',
    'string[]' => 'Array(String)');
my $n = 0;

$stack->define('shop', { additional_fields => 'keep' });

for my $data_type (sort keys %type) {
    my $name = 'a' . ++$n;

    field($name, $data_type);
    my $took = eval { wait_for(LIMIT, $name, sub { column("f_$name") ne '' }) };
    is(column("f_$name"), "$type{$data_type} $data_type",
        "$data_type: column f_$name within " . LIMIT . ' s');
}

# The record is there before the loader can have been told.
$stack->psql("BEGIN; INSERT INTO event_fields (event_type_id, name, data_type)
    SELECT id, 'b' || n, 'int' FROM event_types, generate_series(1, 300) n
    WHERE name = 'shop'; COMMIT;");
is(value_of(produce('{"b299":5,"b300":-6}'), 'f_b299 + f_b300'), -1,
    'a row with fields that are as old as itself');
is(metric('schema_fields'), 307, 'and all 300 are known');

$stack->psql('DELETE FROM event_fields WHERE name = \'b1\';');
is(value_of(produce('{"b1":5}'), 'f_b1'), 5, 'a deleted field keeps its column');
field('b1', 'int');
is(value_of(produce('{"b1":6}'), 'f_b1'), 6, 'and has it when it comes back');


# --- versions nobody has ---

my $since = now();
my $lineage = substr version(), 0, 8;
is(value_of(produce('{"b1":7,"other":"x"}', "$lineage-999999"), 'f_b1'), 7,
    'a version above PostgreSQL\'s: what is known is used');
is(value_of(produce('{"other":"x"}', '00000000-3'), 'fields_extra[\'other\']'),
    'x', 'another lineage: the same');
is(value_of(produce('{"other":"y"}', 'none of ours'), 'fields_extra[\'other\']'),
    'y', 'another producer\'s: the same');
cmp_ok(now() - $since, '<', 40, 'none is waited for longer than one look');


# --- PostgreSQL away ---

my $old = version();
$stack->stop('postgres');
is(value_of(produce('{"b1":8,"new":1}', $old), 'f_b1'), 8,
    'PostgreSQL away: rows go on');

$since = now();
is(value_of(produce('{"b1":9,"new":1}', "$lineage-1000000"),
    'fields_extra[\'new\']'), 1, 'a version that cannot be read: unknown fields'
    . ' are extra');
cmp_ok(now() - $since, '<', 40, sprintf 'after a bounded time (%.1f s)',
    now() - $since);

$stack->kill_part('loader');
$stack->start('loader');
is(value_of(produce('{"b1":10,"a6":"t","a4":"j"}', $old), 'f_b1'), 10,
    'a loader started without PostgreSQL uses ClickHouse\'s columns');

$stack->start('postgres');
field('c1', 'string');
is(value_of(produce('{"c1":"back"}'), 'f_c1'), 'back',
    'PostgreSQL back: its new field has its column');


# --- ClickHouse away ---

$stack->kill_part('clickhouse');
field('c2', 'string');
my $at = produce('{"c2":"early"}');
wait_for(20, 'it to be seen', sub { page('/readyz') =~ /^503/ });
is(page('/readyz'), "503 ClickHouse does not answer\n", 'ClickHouse away: not ready');
is(page('/healthz'), "200 ok\n", 'but healthy');
$stack->start('clickhouse');
is(value_of($at, 'f_c2', 60), 'early',
    'ClickHouse back: the column first, then the row');

is(clickhouse_value($url, 'SELECT groupArray(n) = range(toUInt64('
    . "$offset)) FROM (SELECT kafka_offset AS n FROM events"
    . ' WHERE kafka_partition = 0 ORDER BY n)'), 1, 'each offset once');

done_testing();
