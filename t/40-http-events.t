#!/usr/bin/perl

# Verdicts on events: each code of an event, all errors of an event at once,
# every data type's good and bad values, and answers about batches.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

# Names of tests quote values of any script.
binmode Test::More->builder->output, ':encoding(UTF-8)';

my $stack = edge_stack();
$stack->define('order', order_id => 'string!', total => 'float!',
    quantity => 'int', paid => 'bool', placed_at => 'timestamp',
    tags => 'string[]', extra => 'json');
$stack->define('empty');
$stack->define('off', { enabled => 'false' }, name => 'string!');
$stack->define('dropping', { additional_fields => 'drop' }, name => 'string');
$stack->define('keeping', { additional_fields => 'keep' }, name => 'string');
$stack->psql(q{INSERT INTO event_types (name) VALUES ('購買 ☕')});

my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf())->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my %seen;


# "code field" of each error of the only event; '' if it is accepted.
sub errors {
    my ($body, $path) = @_;
    my $r = $http->post($path || '/track', $body);
    return '' if $r->{status} == 204;

    if ($r->{status} != 422) {
        return "status $r->{status}: $r->{body}";
    }

    my $errors = $r->{json}{rejected}[0]{errors};
    $seen{ $_->{code} }++ for @$errors;

    return join ', ', sort map {
        join ' ', $_->{code}, defined $_->{field} ? $_->{field} : ()
    } @$errors;
}

# The fields of an order, as JSON text; the required ones are there.
sub order {
    my ($fields, $more) = @_;
    $fields = ',' . $fields if $fields ne '';

    return '{"event_type":"order"' . ($more || '')
        . qq(,"fields":{"order_id":"o","total":1$fields}});
}


# --- the event itself ---

my $long = 'x' x 257;

my @events = (
    ['an order', order(''), ''],
    ['no fields needed, none sent', '{"event_type":"empty"}', ''],
    ['a type of any script', '{"event_type":"購買 ☕"}', ''],
    ['a type with escapes', '{"event_type":"\u8cfc\u8cb7 \u2615"}', ''],
    ['fields null', '{"event_type":"empty","fields":null}', ''],
    ['ids null', '{"event_type":"empty","user_id":null,"session_id":null,'
        . '"anonymous_id":null,"event_id":null,"timestamp":null,"context":null}',
     ''],
    ['a number as event', '[1]', 'not_an_object'],
    ['null as event', '[null]', 'not_an_object'],
    ['no event_type', '{"fields":{}}', 'missing_event_type event_type'],
    ['event_type null', '{"event_type":null}', 'missing_event_type event_type'],
    ['event_type a number', '{"event_type":1}', 'wrong_type event_type'],
    ['unknown type', '{"event_type":"nope"}', 'unknown_event_type event_type'],
    ['case matters', '{"event_type":"Order"}', 'unknown_event_type event_type'],
    ['disabled type', '{"event_type":"off","fields":{"name":"a"}}',
     'event_type_disabled event_type'],
    ['unknown member', '{"event_type":"empty","colour":1}',
     'unknown_property colour'],
    ['fields an array', '{"event_type":"empty","fields":[]}',
     'wrong_type fields'],
    ['user_id a number', '{"event_type":"empty","user_id":7}',
     'wrong_type user_id'],
    ['user_id of 256 bytes', qq({"event_type":"empty","user_id":"@{['x' x 256]}"}),
     ''],
    ['user_id too long', qq({"event_type":"empty","user_id":"$long"}),
     'too_long user_id'],
    ['session_id too long', qq({"event_type":"empty","session_id":"$long"}),
     'too_long session_id'],
    ['anonymous_id too long', qq({"event_type":"empty","anonymous_id":"$long"}),
     'too_long anonymous_id'],
    ['bad event_id', '{"event_type":"empty","event_id":"12"}',
     'bad_event_id event_id'],
    ['event_id a number', '{"event_type":"empty","event_id":12}',
     'bad_event_id event_id'],
    ['event_id in capitals',
     '{"event_type":"empty","event_id":"0199AAAA-BBBB-7CCC-8DDD-EEEEFFFF0000"}',
     ''],
    ['timestamp text', '{"event_type":"empty","timestamp":"yesterday"}',
     'bad_timestamp timestamp'],
    ['timestamp without zone',
     '{"event_type":"empty","timestamp":"2025-05-03T10:00:00"}',
     'bad_timestamp timestamp'],
    ['a day that is none',
     '{"event_type":"empty","timestamp":"2025-02-30T10:00:00Z"}',
     'bad_timestamp timestamp'],
    ['timestamp a fraction', '{"event_type":"empty","timestamp":1.5}',
     'bad_timestamp timestamp'],
    ['timestamp beyond year 9999', '{"event_type":"empty","timestamp":1e18}',
     'bad_timestamp timestamp'],
    ['timestamp true', '{"event_type":"empty","timestamp":true}',
     'bad_timestamp timestamp'],
    ['context a string', '{"event_type":"empty","context":"x"}',
     'bad_context context'],
    ['unknown context member', '{"event_type":"empty","context":{"weather":"x"}}',
     'bad_context context.weather'],
    ['context member of wrong type',
     '{"event_type":"empty","context":{"locale":5}}',
     'bad_context context.locale'],
    ['every context member', '{"event_type":"empty","context":{"page_url":"u",'
        . '"page_title":"t","referrer":"r","locale":"l","timezone":"z",'
        . '"screen":"1x1","viewport":"1x1","sdk":"s"}}', ''],
);

is(errors($_->[1]), $_->[2], $_->[0]) for @events;

is(errors('{"event_type":"empty","user_id":"' . 'x' x 600 . '"}', '/small'),
    'event_too_large', 'over track_max_event_size');


# --- data types ---

my $min = '-9223372036854775808';
my $max = '9223372036854775807';

my %value = (
    order_id  => [['""', ''], ['"\u0000 x"', ''], ['1', 'wrong_type'],
                  ['true', 'wrong_type'], ['["a"]', 'wrong_type'],
                  ['null', 'missing_field']],
    quantity  => [['0', ''], ['-0', ''], [$min, ''], [$max, ''], ['1.0', ''],
                  ['1e2', ''], ['12300e-2', ''], ['null', ''],
                  ['9223372036854775808', 'too_large'],
                  ['-9223372036854775809', 'too_small'],
                  ['1e30', 'too_large'], ['1.5', 'wrong_type'],
                  ['1e-1', 'wrong_type'], ['"1"', 'wrong_type'],
                  ['true', 'wrong_type'], ['{}', 'wrong_type']],
    total     => [['0', ''], ['-1.5e-10', ''], ['1.7976931348623157e308', ''],
                  ['1e309', 'too_large'], ['-1e309', 'too_small'],
                  ['1e-400', ''], ['"1"', 'wrong_type'],
                  ['null', 'missing_field']],
    paid      => [['true', ''], ['false', ''], ['1', 'wrong_type'],
                  ['"true"', 'wrong_type']],
    placed_at => [['"2025-05-03T10:00:00Z"', ''],
                  ['"2025-05-03t10:00:00.123456+09:30"', ''],
                  ['1746266400000', ''], ['-1', ''],
                  ['"2025-05-03"', 'format_mismatch'],
                  ['"1899-12-31T23:59:59Z"', 'too_small'],
                  ['"2300-01-01T00:00:00Z"', 'too_large'],
                  ['1.5', 'wrong_type'], ['true', 'wrong_type']],
    tags      => [['[]', ''], ['["a","日本"]', ''], ['[1]', 'wrong_type'],
                  ['["a",null]', 'wrong_type'], ['"a"', 'wrong_type']],
    extra     => [['{"a":[1,{"b":null}]}', ''], ['[]', ''], ['"s"', ''],
                  ['1', ''], ['false', '']],
);

for my $name (sort keys %value) {
    for (@{ $value{$name} }) {
        my ($value, $code) = @$_;
        my %all = (order_id => '"o"', total => 1, $name => $value);
        my $fields = join ',', map { qq("$_":$all{$_}) } sort keys %all;
        my $want = $code ? "$code " . field($name) : '';
        is(errors(qq({"event_type":"order","fields":{$fields}})), $want,
            "$name: $value");
    }
}

# How a field of the schema is named in an answer.
sub field { return $_[0] }


# --- undefined fields ---

is(errors(order('"colour":1')), 'unknown_field ' . field('colour'),
    'additional_fields reject');
is(errors('{"event_type":"dropping","fields":{"colour":1}}'), '',
    'additional_fields drop');
is(errors('{"event_type":"keeping","fields":{"colour":1}}'), '',
    'additional_fields keep');
is(errors(order('"colour":null')), '', 'null means absent, defined or not');


# --- all errors of an event ---

my $r = $http->post('/track', '{"event_type":"order","event_id":"x",'
    . '"timestamp":"x","user_id":1,"colour":1,"context":{"x":1},'
    . '"fields":{"quantity":"1","paid":0,"size":1}}');
is($r->{status}, 422, 'all rejected: 422');
is(join(' ', codes($r)), join(' ', sort qw(bad_event_id bad_timestamp
    wrong_type unknown_property bad_context wrong_type wrong_type unknown_field
    missing_field missing_field)), 'every error of an event is told');
is($r->{json}{accepted}, 0, 'accepted: 0');
is(scalar(grep { ($_->{message} || '') eq '' }
    @{ $r->{json}{rejected}[0]{errors} }), 0, 'each with a message');
unlike($r->{body}, qr/"message":"[^"]*(?:quantity|order_id)[^"]*or/,
    'no message lists what the schema allows');

$r = $http->post('/track', { event_type => 'order',
    fields => { order_id => 'o', total => 1, map { ("u$_" => 1) } 1 .. 40 } });
is(scalar @{ $r->{json}{rejected}[0]{errors} }, 16,
    'at most 16 errors of an event');


# --- batches ---

my @ids = map { uuid() } 1 .. 5;
my $batch = {
    batch => [
        event('order', { order_id => 'a', total => 1 }, event_id => $ids[0]),
        event('order', { order_id => 'b' }, event_id => $ids[1]),
        event('empty', {}, event_id => $ids[2]),
        event('nope', {}),
        'no object',
    ],
    sent_at => '2025-05-03T10:00:00Z',
};
$r = $http->post('/track', $batch);
is($r->{status}, 200, 'some rejected: 200');
is($r->{json}{accepted}, 2, 'how many were accepted');
is_deeply([map { $_->{index} } @{ $r->{json}{rejected} }], [1, 3, 4],
    'which were rejected');
is($r->{json}{rejected}[0]{event_id}, $ids[1], 'with the id, if it was sent');
ok(!exists $r->{json}{rejected}[1]{event_id}, 'without one, if not');
is($r->{json}{rejected}[0]{errors}[0]{code}, 'missing_field', 'and the code');
is($r->{json}{rejected}[0]{errors}[0]{field}, field('total'), 'and the field');

is($http->post('/track', [map { event('empty') } 1 .. 500])->{status}, 204,
    'an array of 500 events, all accepted: 204');
$r = $http->post('/track', [map { event('nope') } 1 .. 500]);
is($r->{status}, 422, '500 events, all rejected: 422');
is(scalar @{ $r->{json}{rejected} }, 500, 'every index is listed');
is($http->post('/track', [map { event('empty') } 1 .. 501])->{status}, 413,
    'track_max_events is 500 by default');

$r = $http->post('/track', [map { { event_type => 'order',
    fields => { order_id => 'o', total => 1, map { ("u$_" => 1) } 1 .. 16 } } }
    1 .. 400]);
is(scalar @{ $r->{json}{rejected} }, 400, 'a long answer lists every index');
is(scalar(grep { ($_->{errors}[0]{code} || '') ne 'unknown_field' }
    @{ $r->{json}{rejected} }), 0, 'each with its first code');
ok($r->{json}{truncated}, 'and says that it is cut');
cmp_ok(length $r->{body}, '<', 65536 + 400 * 100, 'to a bounded size');

$r = $http->post('/track', { batch => [event('empty')], sent_at => 'x' });
is_deeply([codes($r)], ['bad_timestamp'], 'a bad sent_at rejects the events');
$r = $http->post('/track', { batch => [event('empty'), event('empty')],
    context => { weather => 'x' } });
is(scalar @{ $r->{json}{rejected} }, 2, 'so does a bad context of the batch');
$r = $http->post('/track', { batch => [event('empty')], colour => 1 });
is_deeply([codes($r)], ['unknown_property'], 'and an unknown member of it');


is_deeply([sort keys %seen], [sort qw(not_an_object missing_event_type
    unknown_event_type event_type_disabled event_too_large bad_timestamp
    bad_event_id bad_context unknown_property missing_field unknown_field
    wrong_type too_small too_large too_long format_mismatch)],
    'every code an event can get was seen');

done_testing();
