#!/usr/bin/perl

# One event all the way, through all real services as dev/stack runs them: from
# a DBA's INSERT and a POST to a SELECT, byte by byte; what nobody can decode;
# what other producers write; the loader's own health.

use strict;
use warnings;
use utf8;

use Encode ();
use FindBin;
use lib "$FindBin::Bin/lib";
use HTTP::Tiny ();
use Test::More;

use Track::ClickHouse;
use Track::HTTP;
use Track::Kafka;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new(qw(postgres kafka clickhouse nginx loader));
my $url = $stack->env('CLICKHOUSE_URL');
my $brokers = $stack->env('KAFKA_BROKERS');
my $http = Track::HTTP->new($stack->port('nginx'));

binmode Test::More->builder->$_, ':utf8'
    for qw(output failure_output todo_output);


# The row of an event, once it is there.
sub row {
    my ($id, $columns) = @_;
    my ($row) = wait_for(20, "the row of $id", sub {
        [clickhouse_rows($url, "SELECT $columns FROM events"
            . " WHERE event_id = '$id'")]->[0];
    });

    return $row;
}

sub post_text {
    my ($text) = @_;
    return $http->post('/track', Encode::encode_utf8($text));
}

sub columns {
    return { map { $_->{name} => $_->{type} } clickhouse_rows($url,
        "SELECT name, type FROM system.columns WHERE database = 'track'"
        . " AND table = 'events'") };
}


# --- a DBA's INSERT, nothing restarted ---

my %pid = map { $_ => $stack->pid($_) } qw(nginx loader);

is($http->post('/track', { event_type => 'gift_sale' })->{status}, 422,
    'an unknown event is rejected');
is(columns()->{f_amount}, undef, 'and there is no column');

my $begin = now();
$stack->psql(q{
    INSERT INTO event_types (name, additional_fields)
        VALUES ('gift_sale', 'keep');
    INSERT INTO event_fields (event_type_id, name, data_type, required)
        SELECT id, f.name, f.data_type, f.required FROM event_types,
            (VALUES ('item', 'string', true), ('amount', 'int', false),
                    ('price', 'float', false), ('gift', 'bool', false),
                    ('bought_at', 'timestamp', false),
                    ('tags', 'string[]', false), ('basket', 'json', false))
            f (name, data_type, required)
        WHERE event_types.name = 'gift_sale';
});
wait_for(5, 'the new event to be accepted', sub {
    ($http->post('/track', { event_type => 'gift_sale', fields => {} })
        ->{json}{rejected}[0]{errors}[0]{code} || '') eq 'missing_field';
});
pass(sprintf 'the new event is known after %.3f s', now() - $begin);

wait_for(10, 'its columns', sub { my $c = columns(); $c->{f_amount} });
my $columns = columns();
is_deeply({ map { $_ => $columns->{$_} } grep { /^f_/ } keys %$columns }, {
    f_item => 'Nullable(String)', f_amount => 'Nullable(Int64)',
    f_price => 'Nullable(Float64)', f_gift => 'Nullable(Bool)',
    f_bought_at => "Nullable(DateTime64(3, 'UTC'))",
    f_tags => 'Array(String)', f_basket => 'Nullable(String)',
}, 'a typed column for each field');


# --- 64-bit integers and Unicode, from POST to SELECT ---

my @texts = ("東京タワー 🛒", "e\x{301} \x{200d} \x{202e}", " kept as is ",
    'quote " and \\ backslash', "tab\tnewline\nnul\x{0}", '');
my @amounts = qw(9223372036854775807 -9223372036854775808 9007199254740993 0);

for my $n (0 .. $#texts) {
    my $id = uuid();
    my $amount = $amounts[$n % @amounts];
    my $json = JSON::PP->new->allow_nonref->encode($texts[$n]);
    my $r = post_text(qq({"event_type":"gift_sale","event_id":"$id",)
        . qq("user_id":$json,"fields":{"item":$json,"amount":$amount,)
        . qq("tags":[$json,"b"],"basket":{"n": 1.50,  "t":$json}}}));
    is($r->{status}, 204, "event $n accepted") or diag($r->{body});

    my $row = row($id, 'user_id, f_item, f_amount, f_tags, f_basket,'
        . ' hex(f_item) AS bytes');
    is($row->{f_item}, $texts[$n], "event $n: text");
    is($row->{bytes}, uc unpack('H*', Encode::encode_utf8($texts[$n])),
        "event $n: its bytes");
    is($row->{user_id}, $texts[$n], "event $n: user_id");
    is($row->{f_amount}, $amount, "event $n: $amount");
    is_deeply($row->{f_tags}, [$texts[$n], 'b'], "event $n: list");
    is($row->{f_basket}, qq({"n": 1.50,  "t":$json}), "event $n: json as sent");
}


# --- one whole row ---

my $id = uuid();
my $now = int(1000 * now());
my $stamp = rfc3339($now - 1000);
is(post_text(qq({"batch":[{"event_type":"gift_sale","event_id":"$id",)
    . qq("timestamp":"$stamp","user_id":"u","session_id":"s",)
    . qq("anonymous_id":"a","context":{"locale":"zh-TW"},"fields":{)
    . q("item":"x","price":1.10e1,"gift":true,)
    . q("bought_at":"2025-05-03T12:00:00.25+02:00","colour":"red",)
    . q("size":{"w":1.0},"n":12345678901234567890}}],)
    . qq("sent_at":$now,"context":{"timezone":"Asia/Taipei"}})
    )->{status}, 204, 'an event with everything');
my $row = row($id, '*');

sub clickhouse_time { return rfc3339($_[0]) =~ s/T/ /r =~ s/Z$//r }

my ($lineage, $number) = $stack->psql('SELECT lineage, number FROM'
    . ' track_schema_version();') =~ /^(\w{8})[^|]*\|(\d+)/;
my %want = (
    event_type => 'gift_sale', event_id => $id,
    event_time => clickhouse_time($now - 1000), event_time_replaced => 0,
    sent_at => clickhouse_time($now),
    user_id => 'u', session_id => 's', anonymous_id => 'a', ip => '127.0.0.1',
    user_agent => '', source => '',
    context => '{"locale":"zh-TW","timezone":"Asia/Taipei"}',
    schema_version => "$lineage-$number",
    kafka_topic => 'tracking_events',
    f_item => 'x', f_amount => undef, f_price => 11, f_gift => 1,
    f_bought_at => '2025-05-03 10:00:00.250', f_tags => [], f_basket => undef,
    fields_extra => { colour => 'red', size => '{"w":1.0}',
        n => '12345678901234567890' },
);
is_deeply({ map { $_ => ref $row->{$_} eq 'JSON::PP::Boolean'
    ? $row->{$_} + 0 : $row->{$_} } keys %want }, \%want, 'the whole row');
is($row->{event_date}, substr($row->{event_time}, 0, 10), 'event_date');
like($row->{edge}, qr/^[0-9a-f]{16}$/, 'edge');
cmp_ok($row->{seq}, '>', 0, 'seq');

my ($record) = grep { index($_->{value}, $id) > 0 }
    kafka_records($brokers, 'tracking_events');
is($row->{kafka_partition}, $record->{partition}, 'kafka_partition');
is($row->{kafka_offset}, $record->{offset}, 'kafka_offset');
is($row->{kafka_time}, clickhouse_time($record->{time}), 'kafka_time');


# --- a clock that is wrong ---

$id = uuid();
post_text(qq({"event_type":"gift_sale","event_id":"$id","fields":{"item":"x"},)
    . '"timestamp":"2001-01-01T00:00:00Z"}');
$row = row($id, 'event_time, received_at, event_time_replaced');
ok($row->{event_time_replaced}, 'a timestamp of 2001 is not believed');
is($row->{event_time}, $row->{received_at}, 'event_time is received_at then');


# --- what cannot be decoded ---

my %bad = (
    'not JSON at all'         => 'hello',
    'not an object'           => '[1]',
    'no event_type'           => qq({"event_id":"@{[uuid()]}"}),
    'a bad event_id'          => '{"event_type":"gift_sale","event_id":"x"}',
    'seq is text'             => qq({"event_type":"gift_sale","event_id":)
        . qq("@{[uuid()]}","edge":"0123456789abcdef","seq":"1"}),
    'amount is text'          => qq({"event_type":"gift_sale","event_id":)
        . qq("@{[uuid()]}","fields":{"item":"x","amount":"many"}}),
    'a byte that is no UTF-8' => qq({"event_type":"gift_sale","event_id":)
        . qq("@{[uuid()]}","fields":{"item":"\xff"}}),
);
my $dead_before = () = kafka_records($brokers, 'tracking_events_dead');

for my $name (sort keys %bad) {
    utf8::downgrade($bad{$name});
    kafka_produce($brokers, 'tracking_events', $bad{$name}, 'dead-key',
        '-p', 1);
}

# A tombstone: no value at all.
kafka_produce($brokers, 'tracking_events', 'dead-key:', undef, '-K', ':', '-Z',
    '-p', 1);
$bad{'a tombstone'} = undef;

my @dead;
wait_for(20, 'the dead letters', sub {
    @dead = kafka_records($brokers, 'tracking_events_dead');
    return @dead - $dead_before >= keys %bad;
});
my %log = map { ("$_->{partition}/$_->{offset}" => $_) }
    kafka_records($brokers, 'tracking_events');

for my $name (sort keys %bad) {
    my ($letter) = grep { same($_->{value}, $bad{$name}) } @dead;
    ok($letter, "$name: is a dead letter, unchanged") or next;
    is($letter->{key}, 'dead-key', "$name: with its key");

    my %header = $letter->{headers} =~ /(\w+)=([^,]*)/g;
    cmp_ok(length($header{reason} || ''), '>', 8, "$name: with a reason:"
        . " $header{reason}");
    is($header{topic}, 'tracking_events', "$name: with the topic");
    my $place = ($header{partition} // '') . '/' . ($header{offset} // '');
    is(($log{$place} || {})->{value}, $bad{$name}, "$name: and the place");
}

sub same {
    my ($one, $two) = map { defined $_ ? "x$_" : '' } @_;
    return $one eq $two;
}


# --- what other producers write ---

$id = uuid();
kafka_produce($brokers, 'tracking_events', Encode::encode_utf8(
    qq({"event_type":"from elsewhere","event_id":"$id","extra member":[1],)
    . q("fields":{"item":"日本","unheard":{"of":true}}})));
$row = row($id, '*');
is($row->{event_type}, 'from elsewhere', 'a record without an edge is a row');
is($row->{edge}, '', 'edge is empty');
is($row->{seq}, '0', 'seq is 0');
is($row->{event_time}, $row->{kafka_time}, 'event_time is Kafka\'s');
is_deeply([$row->{f_item}, $row->{fields_extra}], ['日本',
    { unheard => '{"of":true}' }], 'fields in their columns, or beside them')
    or diag(explain($row));


# --- one visit in a real browser ---

run_ok('psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d',
    $stack->env('DATABASE_URL'), '-f', root() . '/dev/shop/schema.sql');
wait_for(5, 'the shop\'s schema', sub {
    $http->post('/track', { event_type => 'page_view' })->{body}
        =~ /missing_field/;
});

my $visit = run({ timeout => 90 }, 'node', root() . '/dev/shop/visit.mjs',
    '--url', $stack->env('TRACK_URL') . '/', '--seed', 7);
is($visit->{rc}, 0, 'one visit to the shop') or diag($visit->{err});
my @told = map { json_decode($_) } split /\n/, $visit->{out};
cmp_ok(scalar @told, '>=', 6, "the browser was told of @{[scalar @told]} events");
is_deeply([grep { $_->{status} ne 'accepted' } @told], [], 'all accepted');

my %data_type = map { split /\|/ } split /\n/,
    $stack->psql('SELECT name, data_type FROM field_types;');
for my $told (@told) {
    my $row = row($told->{event_id}, '*');
    is_deeply({ map { $_ => $row->{$_} } qw(event_type session_id) },
        { map { $_ => $told->{$_} } qw(event_type session_id) },
        "$told->{event_type}: type and session");
    is_deeply({ map { $_ => shown($data_type{$_}, $row->{"f_$_"}) }
        keys %{ $told->{fields} } }, $told->{fields},
        "$told->{event_type}: fields as the browser sent them")
        or diag(explain($row));
    like($row->{user_agent}, qr/Chrome/, "$told->{event_type}: user agent");
}
is(clickhouse_value($url, "SELECT count() FROM events WHERE session_id ="
    . " '$told[0]{session_id}'"), scalar @told, 'as many rows as verdicts');

# A column's value as the field that was sent.
sub shown {
    my ($data_type, $value) = @_;

    return json_decode(Encode::encode_utf8($value)) if $data_type eq 'json';
    return $value =~ s/ /T/r . 'Z' if $data_type eq 'timestamp';
    return $value + 0 if $data_type eq 'int' || $data_type eq 'float';
    return $value;
}


# --- the loader's own word ---

my $client = HTTP::Tiny->new(timeout => 10);
my $loader = $stack->env('LOADER_URL');
is($client->get("$loader/healthz")->{status}, 200, '/healthz');
is($client->get("$loader/readyz")->{status}, 200, '/readyz');
my $metrics = '';
eval { wait_for(20, 'its figures', sub {
    $metrics = $client->get("$loader/metrics")->{content};
    return metric('dead_total') == keys %bad && metric('rows_total')
        == clickhouse_value($url, 'SELECT count() FROM events');
}) };

sub metric {
    my ($name) = @_;
    return $metrics =~ /^track_loader_$name (\S+)$/m ? $1 : undef;
}

is(metric('dead_total'), scalar keys %bad, 'dead letters are counted');
is(metric('partitions'), 4, 'it owns all partitions');
cmp_ok(metric('rows_total'), '==',
    clickhouse_value($url, 'SELECT count() FROM events'), 'rows are counted');

$stack->stop('clickhouse');
wait_for(20, '/readyz to be 503', sub {
    $client->get("$loader/readyz")->{status} == 503 });
is($client->get("$loader/healthz")->{status}, 200,
    'ClickHouse away: /healthz is 200, /readyz 503');
$id = uuid();
is(post_text(qq({"event_type":"gift_sale","event_id":"$id",)
    . '"fields":{"item":"x"}}')->{status}, 204, 'events are taken meanwhile');
$stack->start('clickhouse');
ok(row($id, 'event_id'), 'and arrive when it is back');

is_deeply({ map { $_ => $stack->pid($_) } keys %pid }, \%pid,
    'nginx and loader were never restarted');

$begin = now();
$stack->stop('loader');
cmp_ok(now() - $begin, '<', 20, 'the loader stops within seconds');
$id = uuid();
post_text(qq({"event_type":"gift_sale","event_id":"$id",)
    . '"fields":{"item":"x"}}');
$stack->start('loader');
ok(row($id, 'event_id'), 'and goes on where it was');
is(clickhouse_value($url, 'SELECT count() - uniqExact(kafka_partition,'
    . ' kafka_offset) FROM events'), 0, 'no offset is there twice');

done_testing();
