#!/usr/bin/perl

# The Kafka record of an accepted event, member by member: what the client sent,
# byte for byte, and what the edge adds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('order', order_id => 'string!', total => 'float',
    quantity => 'int', paid => 'bool', placed_at => 'timestamp',
    tags => 'string[]', extra => 'json');
$stack->define('empty');
$stack->define('dropping', { additional_fields => 'drop' }, name => 'string');
$stack->define('keeping', { additional_fields => 'keep' }, name => 'string');

my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf())->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my $version = schema_version();

sub schema_version {
    my ($lineage, $number) = split /\|/,
        $stack->psql('SELECT lineage, number FROM track_schema_version();');
    chomp $number;

    return substr($lineage, 0, 8) . '-' . $number;
}


# Sends an event (JSON text that has %ID% for its event_id) and returns its
# record.
sub record {
    my ($body, %header) = @_;
    my $path = delete $header{':path'} || '/track';
    my $id = uuid();
    $body =~ s/%ID%/"event_id":"$id"/;

    my $r = $http->post($path, $body, %header);
    is($r->{status}, 204, 'accepted') or diag($r->{body});

    return record_of($stack, $id,
        $path eq '/other-topic' ? 'tracking_ledger' : 'tracking_events');
}


# --- everything at once ---

my $fields = '{"order_id":"\u00e9\u00e8 caf\u00e9 \"x\" \\\\ \/ '
    . "\xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x9b\x92" . '","total":1.10e+2,'
    . ' "quantity" : -9223372036854775808,"paid":true,'
    . '"placed_at":"2025-05-03T12:00:00.5+02:00","tags":["a","\u0062"],'
    . '"extra":{"n":[1.0,12345678901234567890,1e-7],"z":null}}';
my $before = int(1000 * now());

my $record = record('{"event_type":"order",%ID%,"timestamp":'
    . '"2025-05-03T12:00:00.1239+02:00","user_id":"u","session_id":"s/\u00e9",'
    . '"anonymous_id":"a","fields":' . $fields
    . ',"context":{"page_url":"https://x/?q=\u00e9","locale":null}}',
    'User-Agent' => "Mozilla \"5.0\" \\ \xe6\x9d\xb1 \xff");
my $json = $record->{json};

is($json->{event_type}, 'order', 'event_type');
is($json->{timestamp}, '2025-05-03T10:00:00.123Z', 'timestamp in UTC, ms');
like($json->{received_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    'received_at');
cmp_ok(abs(epoch_ms($json->{received_at}) - $before), '<', 5000,
    'received_at is now');
ok(!exists $json->{sent_at}, 'no sent_at');
is($json->{user_id}, 'u', 'user_id');
is($json->{anonymous_id}, 'a', 'anonymous_id');
is($json->{session_id}, "s/\x{e9}", 'session_id');
ok(index($record->{value}, '"session_id":"s/\u00e9"') > 0,
    'strings keep their escapes');
ok(index($record->{value}, "\"fields\":$fields") > 0,
    'fields are byte for byte as sent') or diag($record->{value});
is_deeply($json->{context}, { page_url => "https://x/?q=\x{e9}" },
    'context, without its nulls');
is($json->{ip}, '127.0.0.1', 'ip');
is($json->{user_agent}, "Mozilla \"5.0\" \\ \x{6771} \x{fffd}",
    'user_agent, what is not UTF-8 replaced');
ok(!exists $json->{source}, 'no source without write keys');
is($json->{schema_version}, $version, 'schema_version');
like($json->{edge}, qr/^[0-9a-f]{16}$/, 'edge');
like($json->{seq}, qr/^[1-9]\d*$/, 'seq');
is($record->{key}, "s/\xc3\xa9", 'key: session_id, decoded');

sub epoch_ms {
    my ($text) = @_;
    my ($date, $ms) = $text =~ /^(.*)\.(\d{3})Z$/;
    return 1000 * run_ok('date', '-u', '-d', "$date UTC", '+%s') + $ms;
}


# --- keys ---

is(record('{"event_type":"empty",%ID%,"user_id":"u","anonymous_id":"a"}')
    ->{key}, 'a', 'key: anonymous_id, without session_id');
is(record('{"event_type":"empty",%ID%,"user_id":"u","session_id":""}')->{key},
    'u', 'key: user_id, without the others; an empty id is none');
$record = record('{"event_type":"empty",%ID%}');
is($record->{key}, $record->{json}{event_id}, 'key: event_id as a last resort');
ok(!exists $record->{json}{$_}, "no $_ where none was sent")
    for qw(timestamp user_id session_id anonymous_id fields context user_agent);

my %partition;
$partition{ record('{"event_type":"empty",%ID%,"session_id":"same"}')
    ->{partition} }++ for 1 .. 3;
is(scalar keys %partition, 1, 'one session stays in one partition');


# --- timestamps ---

for (['1746266400123', '2025-05-03T10:00:00.123Z'],
     ['1746266400123.0', '2025-05-03T10:00:00.123Z'],
     ['1.746266400123e12', '2025-05-03T10:00:00.123Z'],
     ['0', '1970-01-01T00:00:00.000Z'],
     ['-1', '1969-12-31T23:59:59.999Z'],
     ['"2025-05-03T10:00:00Z"', '2025-05-03T10:00:00.000Z'],
     ['"2025-05-03t10:00:00.1z"', '2025-05-03T10:00:00.100Z'],
     ['"2024-02-29T23:59:60Z"', '2024-03-01T00:00:00.000Z'],
     ['"2025-05-03T00:30:00-11:30"', '2025-05-03T12:00:00.000Z'])
{
    my ($sent, $kept) = @$_;
    is(record(qq({"event_type":"empty",%ID%,"timestamp":$sent}))
        ->{json}{timestamp}, $kept, "timestamp $sent");
}


# --- event_id ---

my $capitals = uc uuid();
is($http->post('/track', qq({"event_type":"empty","event_id":"$capitals"}))
    ->{status}, 204, 'an event_id in capitals');
record_of($stack, lc $capitals);

my $session = 'minted-' . uuid();
$http->post('/track', event('empty', {}, session_id => $session)) for 1 .. 3;
my @minted = map { json_decode($_->{value}) }
    grep { ($_->{key} || '') eq $session }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events');
is(scalar @minted, 3, 'events without event_id');
my %ids = map { $_->{event_id} => 1 } @minted;
is(scalar keys %ids, 3, 'get ids of their own');
is(scalar(grep { !/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}
    -[89ab][0-9a-f]{3}-[0-9a-f]{12}$/x } keys %ids), 0, 'of version 7');
my ($time) = keys %ids;
$time =~ s/^(.{8})-(.{4}).*/65536 * hex($1) + hex $2/e;
cmp_ok(abs($time - 1000 * now()), '<', 60_000, 'that begin with the time');


# --- undefined fields, nulls ---

is_deeply(record('{"event_type":"dropping",%ID%,"fields":{"x":1,"name":"n",'
    . '"y":[{}]}}')->{json}{fields}, { name => 'n' },
    'additional_fields drop: not in the record');
ok(index(record('{"event_type":"keeping",%ID%,"fields":{"x":1.50,"name":"n"}}')
    ->{value}, '"fields":{"x":1.50,"name":"n"}') > 0,
    'additional_fields keep: in the record, as sent');
ok(index(record('{"event_type":"order",%ID%,"fields":{"paid":null,'
    . '"order_id":"o","quantity":null,"total":1.0}}')->{value},
    '"fields":{"order_id":"o","total":1.0}') > 0, 'nulls are left out');


# --- batches ---

my @batch_ids = map { uuid() } 1 .. 3;
my $r = $http->post('/track', json_encode({
    batch => [
        event('empty', {}, event_id => $batch_ids[0],
            context => { page_url => 'own', locale => 'de' }),
        event('empty', {}, event_id => $batch_ids[1]),
        event('nope', {}),
        event('empty', {}, event_id => $batch_ids[2], context => {},
            timestamp => 1_746_266_400_000),
    ],
    sent_at => '2025-05-03T10:00:09+00:00',
    context => { page_url => 'batch', timezone => 'Asia/Taipei' },
}));
is($r->{status}, 200, 'a batch, one event of it rejected');
my @of_batch = map { record_of($stack, $_)->{json} } @batch_ids;
is_deeply($of_batch[0]{context}, { page_url => 'own', locale => 'de',
    timezone => 'Asia/Taipei' }, 'own context, completed by that of the batch');
is_deeply($_->{context}, { page_url => 'batch', timezone => 'Asia/Taipei' },
    'inherited context') for @of_batch[1, 2];
is_deeply([map { $_->{sent_at} } @of_batch],
    [('2025-05-03T10:00:09.000Z') x 3], 'sent_at of the batch, in each');


# --- edge and seq: a number for each event that is kept, rejected ones too ---

my %seq;
for my $topic (qw(tracking_events tracking_events_rejected)) {
    for (kafka_records($stack->env('KAFKA_BROKERS'), $topic)) {
        my $json = json_decode($_->{value});
        push @{ $seq{ $json->{edge} } }, $json->{seq};
    }
}

for my $edge (sort keys %seq) {
    my @all = sort { $a <=> $b } @{ $seq{$edge} };
    is_deeply(\@all, [1 .. @all], "edge $edge: numbers 1 to @{[scalar @all]}");
}


# --- another topic ---

record('{"event_type":"empty",%ID%}', ':path' => '/other-topic');
record('{"event_type":"empty",%ID%}', ':path' => '/other-topic',
    'X-Flag' => 1);

done_testing();
