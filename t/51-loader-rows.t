#!/usr/bin/perl

# What stands in a Kafka record stands in ClickHouse: 64-bit integers, Unicode,
# every data type, null and absent, unknown fields, times and dates, byte for byte;
# and what cannot stand there is on the dead-letter topic with the reason.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::ClickHouse;
use Track::Kafka;
use Track::Stack;
use Track::Util;

use constant DAY => 86400;

my @ALL = (s => 'string', i => 'int', f => 'float', b => 'bool',
    t => 'timestamp', l => 'string[]', j => 'json');

my $stack = Track::Stack->new(qw(postgres kafka clickhouse loader));
my $brokers = $stack->env('KAFKA_BROKERS');
my $url = $stack->env('CLICKHOUSE_URL');
my $now = int now();
my @rows;           # [offset in partition 0, name, columns wanted]
my @dead;           # [offset, name, reason wanted, value]
my @batch;

$stack->define('everything', @ALL);
$stack->define('keeper', { additional_fields => 'keep' }, known => 'string');


sub record {
    my ($fields, %member) = @_;

    return sprintf '{"event_type":"%s","event_id":"%s","received_at":"%s"%s,'
        . '"fields":%s}', delete $member{type} // 'everything', uuid(),
        rfc3339($now * 1000), join('', map { ",\"$_\":$member{$_}" } sort keys %member),
        $fields;
}

# A record whose row has these values, as ClickHouse's expressions print them.
sub row_is {
    my ($name, $json, %wanted) = @_;

    push @rows, [scalar @batch, $name, \%wanted];
    push @batch, $json;
}

sub dead_is {
    my ($name, $json, $reason) = @_;

    push @dead, [scalar @batch, $name, $reason, $json];
    push @batch, $json;
}

sub utf8_hex {
    my ($text) = @_;

    utf8::encode($text);
    return uc unpack 'H*', $text;
}


# --- integers, floats, booleans ---

for my $int ('0', '-1', '9223372036854775807', '-9223372036854775808',
    '9007199254740993', '-9007199254740993')
{
    row_is("int $int", record("{\"i\":$int}"), f_i => $int);
}

row_is('int written as 1e3', record('{"i":1e3}'), f_i => '1000');
row_is('int written as 12.0', record('{"i":12.0}'), f_i => '12');
row_is('seq and edge', record('{}', seq => '9223372036854775807',
    edge => '"9f86d081884c7d65"'), seq => '9223372036854775807',
    edge => '9f86d081884c7d65');
row_is('float', record('{"f":0.1}'), f_f => '0.1');
row_is('float, the least above 0', record('{"f":5e-324}'), f_f => '5e-324');
row_is('float from an integer', record('{"f":3}'), f_f => '3');
row_is('false', record('{"b":false}'), f_b => 'false');
row_is('true', record('{"b":true}'), f_b => 'true');


# --- text ---

for my $text ('', 'plain', "é 中文 \x{1F600} \x{FEFF}", 'e' . "\x{301}",
    "\x{10FFFF}\x{E000}", 'x' x 40_000)
{
    my $short = length $text > 20 ? length($text) . ' characters' : $text;
    utf8::encode($short);

    row_is("text: $short", record("{\"s\":\"$text\"}"),
        'hex(f_s)' => utf8_hex($text));
}

row_is('escapes', record('{"s":"\u00e9\ud83d\ude00\u0000\"\\\\\/\n"}'),
    'hex(f_s)' => utf8_hex("é\x{1F600}\0\"\\/\n"));
row_is('a lone surrogate', record('{"s":"a\ud800b"}'),
    'hex(f_s)' => utf8_hex("a\x{FFFD}b"));
row_is('members of the event', record('{}', user_id => '"ü\u0041"',
    session_id => '"s\t1"', anonymous_id => '"匿名"', ip => '"2001:db8::1"',
    user_agent => '"Mozilla/5.0 (\u2713)"', source => '"web"',
    context => '{"page_url": "/x?a=\u00e9", "n": 1.0}'),
    'hex(user_id)' => utf8_hex('üA'), 'hex(session_id)' => utf8_hex("s\t1"),
    'hex(anonymous_id)' => utf8_hex('匿名'), ip => '2001:db8::1',
    'hex(user_agent)' => utf8_hex('Mozilla/5.0 (✓)'), source => 'web',
    context => '{"page_url": "/x?a=\u00e9", "n": 1.0}');


# --- lists and JSON ---

row_is('an empty list', record('{"l":[]}'), f_l => '[]');
row_is('a list', record('{"l":["a","","é\"","a"]}'),
    'arrayMap(x -> hex(x), f_l)' => "['61','','C3A922','61']");
row_is('JSON as it came', record('{"j":{"a": [1.50, 1e2, "\u00e9"],  "b":null}}'),
    f_j => '{"a": [1.50, 1e2, "\u00e9"],  "b":null}');
row_is('JSON: a string keeps its quotes', record('{"j":"x"}'), f_j => '"x"');


# --- null and absent ---

row_is('null is absent', record('{"s":null,"i":null,"l":null,"j":null}'),
    map { ("f_$_" => $_ eq 'l' ? '[]' : '\N') } qw(s i f b t l j));
row_is('absent members', sprintf(
    '{"event_type":"everything","event_id":"%s"}', uuid()),
    received_at => '1970-01-01 00:00:00.000', sent_at =>
    '1970-01-01 00:00:00.000', user_id => '', context => '', seq => 0,
    'event_time = kafka_time' => 'true', 'length(fields_extra)' => 0);


# --- unknown fields ---

row_is('unknown fields', record('{"known":"k","é":"\u00e9","n":9223372036854775808,'
    . '"o":{"x": 1},"gone":null,"yes":true}', type => 'keeper'),
    f_known => 'k', 'fields_extra[\'n\']' => '9223372036854775808',
    'hex(fields_extra[\'é\'])' => 'C3A9', 'fields_extra[\'o\']' => '{"x": 1}',
    'fields_extra[\'yes\']' => 'true', 'length(fields_extra)' => 4);
row_is('a known name that fits, of a type that does not define it',
    record('{"i":5}', type => 'keeper'), f_i => 5, 'length(fields_extra)' => 0);
row_is('a known name that does not fit', record('{"i":"five"}', type => 'keeper'),
    f_i => '\N', 'fields_extra[\'i\']' => 'five');

# Indexes of low-cardinality columns have 1, 2 or 4 bytes.
for my $n (300, 66_000) {
    my $last = $n - 1;

    row_is("$n unknown fields", record('{' . join(',', map { "\"k$_\":$_" } 0 .. $last)
        . '}', type => 'keeper'), 'length(fields_extra)' => $n,
        "fields_extra['k$last']" => $last, 'arrayCount((k, v) -> k = concat(\'k\', v),'
        . ' mapKeys(fields_extra), mapValues(fields_extra))' => $n);
}


# --- times ---

my $date = 'event_date = toDate(event_time)';
my $stamp = 'toUnixTimestamp64Milli(event_time)';

row_is('timestamp', record('{}', timestamp => ($now - 5) * 1000 + 7),
    $stamp => ($now - 5) * 1000 + 7, $date => 1, event_time_replaced => 'false');
row_is('timestamp 29 days ago', record('{}', timestamp => ($now - 29 * DAY) * 1000),
    $stamp => ($now - 29 * DAY) * 1000, $date => 1, event_time_replaced => 'false');
row_is('timestamp 31 days ago', record('{}', timestamp => ($now - 31 * DAY) * 1000),
    $stamp => $now * 1000, $date => 1, event_time_replaced => 'true');
row_is('timestamp in 2 hours', record('{}', timestamp => ($now + 7200) * 1000),
    $stamp => $now * 1000, $date => 1, event_time_replaced => 'true');
row_is('no timestamp', record('{}', sent_at => $now * 1000 - 1),
    $stamp => $now * 1000, 'toUnixTimestamp64Milli(sent_at)' => $now * 1000 - 1,
    'toUnixTimestamp64Milli(received_at)' => $now * 1000);
row_is('a timestamp field', record('{"t":"2025-05-03T12:00:00.1239+02:00"}'),
    f_t => '2025-05-03 10:00:00.123');
row_is('a timestamp field in ms', record('{"t":-1}'),
    f_t => '1969-12-31 23:59:59.999');
row_is('the first millisecond there is', record('{"t":"0000-01-01T00:00:00Z"}'),
    'toUnixTimestamp64Milli(f_t)' => '-62167219200000');
row_is('and the last', record('{"t":"9999-12-31T23:59:59.999Z"}'),
    'toUnixTimestamp64Milli(f_t)' => '253402300799999');


# --- dead ---

my $id = uuid();

dead_is('not JSON', '{"event_type":', qr/at byte 14/);
dead_is('not an object', '[]', qr/not a JSON object/);
dead_is('no event_type', "{\"event_id\":\"$id\"}", qr/event_type is missing/);
dead_is('a member of another type',
    "{\"event_type\":\"everything\",\"event_id\":\"$id\",\"user_id\":1}",
    qr/user_id is not a string/);
dead_is('fields of another type', record('{"i":1.5}'),
    qr/field i is a number, which does not fit its type int/);
dead_is('an int of 65 bits', record('{"i":9223372036854775808}'),
    qr/field i is a number, which does not fit its type int/);
dead_is('text for a float', record('{"f":"1"}'),
    qr/field f is a string, which does not fit its type float/);
dead_is('a list with a number', record('{"l":["a",1]}'),
    qr/field l is an array, which does not fit its type string\[\]/);
dead_is('no such day', record('{"t":"2025-02-30T00:00:00Z"}'),
    qr/field t is a string, which does not fit its type timestamp/);
dead_is('a year that no partition has', sprintf('{"event_type":"everything",'
    . '"event_id":"%s","received_at":"2200-01-01T00:00:00Z"}', $id),
    qr/its time is outside/);

# The batch that has them ends well.
row_is('the record after them', record('{"s":"end"}'), f_s => 'end');


# --- what became of it ---

my @bytes = map { my $b = $_; utf8::encode($b) if utf8::is_utf8($b); $b } @batch;
kafka_produce($brokers, 'tracking_events', join("\x01", @bytes), undef, '-p', 0);

my $count = 'SELECT count() FROM events WHERE kafka_partition = 0';
eval { wait_for(30, 'rows', sub {
    clickhouse_value($url, $count) >= @rows }) };
is(clickhouse_value($url, $count), scalar @rows, 'every good record is a row')
    or $stack->tail_logs('loader');

for my $row (@rows) {
    my ($offset, $name, $wanted) = @$row;
    my @columns = sort keys %$wanted;
    my $sql = 'SELECT ' . join(', ', @columns) . " FROM events"
        . " WHERE kafka_partition = 0 AND kafka_offset = $offset";
    utf8::encode($sql);

    my @got = split /\t/, clickhouse_value($url, $sql) . "\t", -1;
    pop @got;

    is_deeply([map { plain($_) } @got],
        [map { plain($wanted->{$_}) } @columns], $name);
}

# TabSeparatedRaw prints Bool as true and comparisons as 1.
sub plain {
    my ($text) = @_;

    utf8::encode($text) if utf8::is_utf8($text);
    return $text eq 'true' ? 1 : $text eq 'false' ? 0 : $text;
}

my @letters = kafka_records($brokers, 'tracking_events_dead');
is(scalar @letters, scalar @dead, 'every bad record is a dead letter');

for my $i (0 .. $#dead) {
    my ($offset, $name, $reason, $value) = @{ $dead[$i] };
    my $letter = $letters[$i] // {};

    is($letter->{value}, $value, "dead, $name: unchanged");
    like($letter->{headers}, $reason, "dead, $name: the reason");
    like($letter->{headers}, qr/tracking_events.*\b$offset\b/,
        "dead, $name: where it stood");
}

is(clickhouse_value($url, 'SELECT count() FROM (SELECT kafka_offset FROM events'
    . ' GROUP BY kafka_partition, kafka_offset HAVING count() > 1)'), 0,
    'no offset twice');
is(clickhouse_value($url, 'SELECT max(kafka_offset) FROM offsets_landed'
    . ' WHERE kafka_topic = \'tracking_events\' AND kafka_partition = 0'),
    $#batch, 'offsets_landed knows the last');

done_testing();
