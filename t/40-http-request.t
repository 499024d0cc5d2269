#!/usr/bin/perl

# Requests that are answered as a whole: method, media type, size, bodies that
# are not JSON or not events; and that the connection lives on after each.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!', count => 'int');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf())->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my $good = json_encode(event('click', { name => 'a' }));
my %code;           # how often each was answered


# One request that fails as a whole, then a good one on the same connection.
sub refused {
    my ($name, $path, $body, $status, $code, %arg) = @_;

    my $r = $http->post($path, $body, %{ $arg{header} || {} });
    $code{$code}++ if $code;
    is($r->{status}, $status, "$name: $status") or diag($r->{body});

    if ($code) {
        is($r->{json}{error}{code}, $code, "$name: $code");
        like($r->{json}{error}{message}, qr/^[A-Za-z].{5,}[^.]$/,
            "$name: has a message");
        is($r->{header}{'content-type'}, 'application/json',
            "$name: the answer is JSON");
    }

    is($r->{json}{error}{offset}, $arg{offset}, "$name: offset")
        if exists $arg{offset};

    my $next = $http->post('/track', $good);
    is($next->{status}, 204, "$name: the next request is served");

    return $r;
}


# --- not JSON ---

my $deep = '{"event_type":"click","fields":{"name":"a","x":'
    . '[' x 15 . ']' x 15 . '}}';

my @bodies = (
    ['empty body', '', 'malformed_json', 0],
    ['white space only', " \n", 'malformed_json', 2],
    ['cut off', '{"event_type":', 'malformed_json', 14],
    ['bare word', 'click', 'malformed_json', 0],
    ['single quotes', "{'event_type':'click'}", 'malformed_json', 1],
    ['trailing comma', '[{},]', 'malformed_json', 4],
    ['something after the value', '{} {}', 'malformed_json', 3],
    ['leading zero', '{"a":01}', 'malformed_json', 6],
    ['control character in a string', "{\"a\":\"b\nc\"}", 'malformed_json', 7],
    ['bad escape', '{"a":"\\x"}', 'malformed_json', 6],
    ['byte order mark', "\xef\xbb\xbf{}", 'malformed_json', 0],
    ['NaN', '{"a":NaN}', 'malformed_json', 5],
    ['a byte that is not UTF-8', "{\"a\":\"\xff\"}", 'invalid_utf8', 6],
    ['overlong UTF-8', "{\"a\":\"\xc0\xaf\"}", 'invalid_utf8', 6],
    ['a surrogate as UTF-8', "{\"a\":\"\xed\xa0\x80\"}", 'invalid_utf8', 6],
    ['UTF-8 cut off', "{\"a\":\"\xe6\x9d\"}", 'invalid_utf8', 6],
    ['17 levels', $deep, 'too_deep', undef],
    ['a name twice', '{"a":1,"a":2}', 'duplicate_key', 7],
    ['a name twice, once escaped', '{"a":1,"\\u0061":2}', 'duplicate_key', 7],
    ['a field twice', '{"event_type":"click","fields":{"name":"a","name":"b"}}',
     'duplicate_key', undef],
    ['a string', '"click"', 'not_an_event', undef],
    ['a number', '12', 'not_an_event', undef],
    ['null', 'null', 'not_an_event', undef],
    ['an empty array', '[]', 'not_an_event', undef],
    ['an empty batch', '{"batch":[]}', 'not_an_event', undef],
    ['a batch that is no array', '{"batch":{}}', 'not_an_event', undef],
    ['a batch of null', '{"batch":null}', 'not_an_event', undef],
);

for (@bodies) {
    my ($name, $body, $code, $offset) = @$_;
    refused($name, '/track', $body, 400, $code,
        defined $offset ? (offset => $offset) : ());
}

$deep =~ s/\[\[(.*)\]\]/[$1]/;
is_deeply([codes($http->post('/track', $deep))], ['unknown_field'],
    '16 levels are read');


# --- size ---

# What all events at their largest cannot fill is refused by the module;
# client_max_body_size is nginx's own, with nginx's own page.
refused('a body larger than any that could be taken', '/small', 'x' x 3000, 413,
    'request_too_large');
refused('more events than track_max_events', '/small',
    '[' . join(',', ('{}') x 4) . ']', 413, 'too_many_events');
refused('a body over client_max_body_size', '/small', 'x' x 5000, 413);

for (['one that could not be taken', 3, 'request_too_large'],
     ['over client_max_body_size', 6])
{
    my ($name, $chunks, $code) = @$_;
    my $r = $http->write($http->chunked_request('/small',
        ('x' x 1000) x $chunks))->read_response();
    is($r->{status}, 413, "a chunked body, $name: 413");
    is(($r->{json} || {})->{error}{code}, $code, "a chunked body, $name: code");
    $http->close();
}

is($http->post('/small', '[' . join(',', ($good) x 3) . ']')->{status}, 204,
    'as many events as track_max_events are taken');


# --- media type ---

for my $type ('application/xml', 'application/jsonx', 'text/html',
              'application/x-www-form-urlencoded',
              'application/json; charset=iso-8859-1')
{
    refused("Content-Type $type", '/track', $good, 415,
        'unsupported_media_type', header => { 'Content-Type' => $type });
}

for my $encoding ('br', 'deflate') {
    refused("Content-Encoding $encoding", '/track', $good, 415,
        'unsupported_media_type', header => { 'Content-Encoding' => $encoding });
}

refused('gzip that is none', '/track', $good, 400, 'bad_encoding',
    header => { 'Content-Encoding' => 'gzip' });

for my $type ('application/json', 'application/json; charset=utf-8',
              'application/json;charset="UTF-8"', 'Application/JSON',
              'text/plain', 'text/plain;charset=UTF-8', undef)
{
    is($http->post('/track', $good, 'Content-Type' => $type)->{status}, 204,
        'Content-Type ' . ($type || 'absent') . ' is taken');
}


# --- method ---

for (['GET', 405], ['HEAD', 405], ['PUT', 405], ['DELETE', 405],
     ['PATCH', 405], ['OPTIONS', 204])
{
    my ($method, $status) = @$_;
    my $body = $method =~ /^P/ ? $good : '';
    my $r = $http->write($http->request('/track', $body,
        ':method' => $method))->read_response($method);
    is($r->{status}, $status, "$method: $status");
    is($r->{header}{allow}, 'POST, OPTIONS', "$method: Allow");
    is($http->post('/track', $good)->{status}, 204,
        "$method: the next request is served");
}


# --- nothing of a refused request was kept ---

my @log = Track::Kafka::kafka_records($stack->env('KAFKA_BROKERS'),
    'tracking_events');
is(scalar(grep { $_->{value} !~ /"fields":\{"name":"a"\}/ } @log), 0,
    'only the good events are in Kafka');

is_deeply([sort keys %code], [sort qw(malformed_json invalid_utf8 too_deep
    duplicate_key not_an_event bad_encoding request_too_large
    too_many_events unsupported_media_type)],
    'every code of a whole request was seen here,'
    . ' but for no_schema (41) and unavailable (42)');

done_testing();
