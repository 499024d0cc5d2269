#!/usr/bin/perl

# track_pixel: an event in the arguments of a GET, judged and delivered like
# that of a POST; the image comes only when it is safe.

use strict;
use warnings;

use FindBin;
use IO::Compress::Gzip qw(gzip);
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Util;

my $SERVERS = <<'CONF';
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT2%% http2;
        large_client_header_buffers 4 64k;

        location = /track { track; }
        location = /pixel { track_pixel; }
        location = /small { track_pixel; track_max_event_size 200; }
        location = /inflated { track; client_max_body_size 200; }
        location = /lost  { track_pixel; track_kafka_topic no_such_topic; }
        location = /none  { track_pixel; track_ack none; }

        location = /flag {
            track_pixel;

            if ($arg_flag) {
                set $flag 1;
            }
        }
    }
CONF

my $stack = edge_stack();
$stack->define('order', name => 'string', total => 'float!', quantity => 'int',
    paid => 'bool', placed_at => 'timestamp', tags => 'string[]',
    extra => 'json');
$stack->define('view');
$stack->define('open', { additional_fields => 'keep' });

my $conf = edge_conf() =~ s/^    server \{.*//msr . $SERVERS;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf)->start();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);


sub pixel {
    my ($query, %header) = @_;
    my $path = delete $header{':path'} || '/pixel';
    return $http->write($http->request("$path?$query", '', ':method' => 'GET',
        'Content-Type' => undef, 'Content-Length' => undef, %header))
        ->read_response($header{':method'} || 'GET');
}

# The record of an accepted one.
sub record {
    my ($query, %header) = @_;
    my $id = uuid();
    my $r = pixel("$query&event_id=$id", %header);
    is($r->{status}, 200, "accepted: $query") or diag($r->{body});

    return record_of($stack, $id);
}


# --- the answer ---

my $r = pixel('event_type=view');
is($r->{status}, 200, 'an event: 200');
is($r->{header}{'content-type'}, 'image/gif', 'an image');
is($r->{header}{'content-length'}, 43, 'of 43 bytes');
is(unpack('H*', $r->{body}), '47494638396101000100800000000000ffffff'
    . '21f90401000000002c00000000010001000002024401003b', 'one pixel');
is($r->{header}{'cache-control'}, 'no-store', 'not to be stored');
ok(!exists $r->{header}{'last-modified'} && !exists $r->{header}{etag},
    'nor asked for again');
ok($r->{keep}, 'the connection is kept');

my $head = uuid();
$r = pixel("event_type=view&event_id=$head", ':method' => 'HEAD');
is($r->{status}, 200, 'HEAD: 200');
is($r->{header}{'content-length'}, 43, 'with the length');
record_of($stack, $head);

$r = pixel('event_type=nope');
is($r->{status}, 422, 'a rejected event: 422');
is($r->{json}{rejected}[0]{errors}[0]{code}, 'unknown_event_type',
    'with the reason');
is($r->{header}{'cache-control'}, 'no-store', 'not to be stored');

$r = pixel('');
is($r->{status}, 422, 'no arguments');
is_deeply([codes($r)], ['missing_event_type'], 'no event_type');
is($http->get('/pixel')->{status}, 422, 'not even a question mark');

for my $method (qw(POST PUT DELETE)) {
    $r = pixel('event_type=view', ':method' => $method,
        'Content-Length' => 0);
    is($r->{status}, 405, "$method: 405");
    is($r->{header}{allow}, 'GET, HEAD, OPTIONS', "$method: Allow");
    is($r->{header}{'cache-control'}, 'no-store', "$method: not to be stored");
}

is(pixel('event_type=view', ':path' => '/flag', 'X' => 1)->{status}, 200,
    'in a location with an "if"');
$r = pixel('event_type=view&flag=1', ':path' => '/flag');
is($r->{status}, 422, 'whose configuration is in force');
is($r->{header}{'cache-control'}, 'no-store', 'with the same headers');


# The text of both is written into one buffer of the worker.
my $gzip;
gzip(\json_encode(event('view')), \$gzip) or die "gzip failed\n";
is($http->post('/inflated', $gzip)->{status}, 204, 'an inflated body');
is(pixel('event_type=order&total=1&name=' . 'n' x 300)->{status}, 200,
    'its bound is not that of the pixel after it');


# --- the event ---

my $agent = 'Mozilla "5.0"';
my $json = record('event_type=order&user_id=u%2B1&session_id=s+1&anonymous_id=a'
    . '&timestamp=1746266400123&total=9.90&quantity=-3&paid=1'
    . '&placed_at=2025-05-03T10:00:00Z&tags=a&tags=b%26c&name=%E6%9D%B1'
    . '&extra=%7B%22a%22%3A%5B1%2C2.0%5D%7D&key=wk_1', 'User-Agent' => $agent);
is($json->{key}, 's 1', 'the key is the session');
ok(index($json->{value}, '"total":9.90') > 0, 'a number as it was written');
ok(index($json->{value}, '"extra":{"a":[1,2.0]}') > 0,
    'JSON as it was written');
$json = $json->{json};
is_deeply([@$json{qw(user_id session_id anonymous_id timestamp user_agent)}],
    ['u+1', 's 1', 'a', '2025-05-03T10:00:00.123Z', $agent],
    'members of the event');
is($json->{ip}, '127.0.0.1', 'and the address');
is_deeply([sort keys %{ $json->{fields} }],
    [qw(extra name paid placed_at quantity tags total)],
    'the others are fields, but for the key');
is_deeply($json->{fields}{tags}, ['a', 'b&c'], 'a repeated argument');
is($json->{fields}{quantity}, -3, 'an int');
ok($json->{fields}{paid}, 'a bool');
is($json->{fields}{name}, "\x{6771}", 'a string of any script');

is_deeply(record('event_type=open&x=1&y=2&y=3')->{json}{fields},
    { x => '1', y => ['2', '3'] }, 'undefined fields are strings');
is_deeply(record('event_type=order&total=1&tags=one')->{json}{fields}{tags},
    ['one'], 'a string[] of one');
ok(!exists record('event_type=view')->{json}{fields}, 'no fields');


# --- what is wrong with it ---

for (['event_type=order', 'missing_field'],
     ['event_type=order&total=x', 'wrong_type'],
     ['event_type=order&total=', 'wrong_type'],
     ['event_type=order&total=1&total=2', 'wrong_type'],
     ['event_type=order&total=1&quantity=1.5', 'wrong_type'],
     ['event_type=order&total=1&quantity=9223372036854775808', 'too_large'],
     ['event_type=order&total=1&paid=yes', 'wrong_type'],
     ['event_type=order&total=1&placed_at=yesterday', 'format_mismatch'],
     ['event_type=order&total=1&nope=1', 'unknown_field'],
     ['event_type=view&event_id=1', 'bad_event_id'],
     ['event_type=view&timestamp=now', 'bad_timestamp'],
     ['event_type=view&event_type=view', 'wrong_type'],
     ['event_type=view&user_id=' . 'x' x 257, 'too_long'])
{
    my ($query, $code) = @$_;
    $r = pixel($query);
    is($r->{status}, 422, substr($query, 0, 60) . ': 422');
    is_deeply([codes($r)], [$code], "of $code");
}

is_deeply([codes(pixel('event_type=view&user_id=' . 'x' x 200,
    ':path' => '/small'))], ['event_too_large'], 'track_max_event_size');

$r = pixel('event_type=%ff');
is($r->{status}, 400, 'not UTF-8: 400');
is($r->{json}{error}{code}, 'invalid_utf8', 'and the code');
is(pixel('event_type=order&total=1&extra=' . '[' x 20 . ']' x 20)
    ->{json}{error}{code}, undef, 'JSON that is too deep by itself is text');
is(pixel('event_type=order&total=1&extra=' . '[' x 15 . ']' x 15)
    ->{json}{error}{code}, 'too_deep', 'with the event around it: 400');

is(pixel('event_type=open' . join('', map { "&f$_=1" } 1 .. 4000))->{status},
    200, 'thousands of arguments');


# --- bodies, connections ---

$r = $http->write($http->request('/pixel?event_type=view', 'ignored',
    ':method' => 'GET'))->read_response();
is($r->{status}, 200, 'a GET with a body');
is(pixel('event_type=view')->{status}, 200, 'which is not taken for a request');

$http->write(join '', map { $http->request("/pixel?event_type=$_", '',
    ':method' => 'GET') } qw(view nope view));
is_deeply([map { $http->read_response()->{status} } 1 .. 3], [200, 422, 200],
    'three in one packet');

is(run_ok('curl', '-s', '-o', '/dev/null', '-w', '%{http_version} %{http_code}'
    . ' %{size_download}', '--http2-prior-knowledge', 'http://127.0.0.1:'
    . $nginx->port2 . '/pixel?event_type=view'), '2 200 43', 'HTTP/2');

$r = pixel('event_type=view', ':path' => '/none');
is($r->{status}, 202, 'track_ack none: not safe yet');
is($r->{body} =~ /^GIF89a/, 1, 'the image all the same');


# --- not safe: no image ---

for my $path ('/lost', '/pixel') {
    $stack->signal('kafka', 'STOP') if $path eq '/pixel';
    $r = pixel('event_type=view', ':path' => $path);
    is($r->{status}, 503, "$path: not safe");
    is($r->{json}{error}{code}, 'unavailable', "$path: unavailable");
    is($r->{header}{'retry-after'}, 5, "$path: Retry-After");
    is($r->{header}{'cache-control'}, 'no-store', "$path: not to be stored");
}
$stack->signal('kafka', 'CONT');

done_testing();
