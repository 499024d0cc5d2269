#!/usr/bin/perl

# Every way a body can arrive: one buffer, several, a temp file, both, chunked,
# byte by byte, behind Expect: 100-continue, pipelined, over HTTP/2; and clients
# that leave early.  What arrives in Kafka must be what was sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('note', text => 'string!');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf())->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my %sent;           # event_id => text


# The JSON of a note of about $size bytes.
sub note_of {
    my ($size) = @_;
    my $id = uuid();
    my $text = join '', map { chr 33 + int rand 58 } 1 .. $size;
    $text =~ s/["\\]/-/g;
    $sent{$id} = $text;

    return json_encode(event('note', { text => $text }, event_id => $id));
}


# --- sizes, against several buffer layouts ---

for my $path ('/track', '/two-buffers', '/file') {
    for my $size (10, 900, 1100, 5000, 40_000) {
        my $r = $http->post($path, note_of($size));
        is($r->{status}, 204, "$path: one event of $size bytes")
            or diag($r->{body});
    }

    my $batch = '{"batch":[' . join(',', map { note_of(2000) } 1 .. 200) . ']}';
    my $r = $http->post($path, $batch);
    is($r->{status}, 204, "$path: a batch of @{[length $batch]} bytes")
        or diag($r->{body});
}

my $files = $nginx->status()->{counters}{body_files};
cmp_ok($files, '>=', 1, "temp files were read ($files)");


# --- chunked ---

for my $path ('/track', '/two-buffers', '/file') {
    for my $n (1, 7, 1000) {
        my @chunks = unpack "(a$n)*", note_of(3000);
        my $r = $http->write($http->chunked_request($path, @chunks))
            ->read_response();
        is($r->{status}, 204, "$path: chunks of $n bytes");
    }
}

my $r = $http->write($http->chunked_request('/track', '{"event', '_type"}'))
    ->read_response();
is($r->{status}, 400, 'a chunked body that is not JSON');


# --- slow ---

my $one = note_of(60);
$r = $http->write_slowly($http->request('/track', $one), 0)->read_response();
is($r->{status}, 204, 'byte by byte');

$r = $http->write_slowly($http->chunked_request('/two-buffers',
    unpack '(a9)*', note_of(60)), 0)->read_response();
is($r->{status}, 204, 'byte by byte, chunked');

$one = note_of(3000);
$http->write($http->request('/track', $one, 'Expect' => '100-continue'));
is($http->read_response()->{status}, 204, 'Expect: 100-continue');


# --- pipelined ---

$http->write(join '', map { $http->request('/track', note_of(50)) } 1 .. 10);
is_deeply([map { $http->read_response()->{status} } 1 .. 10], [(204) x 10],
    'ten requests in one packet');

$http->write($http->request('/track', note_of(50))
    . $http->request('/track', 'broken')
    . $http->request('/track', note_of(50))
    . $http->request('/track/status', '', ':method' => 'GET')
    . $http->request('/track', note_of(50)));
is_deeply([map { $http->read_response()->{status} } 1 .. 5],
    [204, 400, 204, 200, 204], 'answers come in the order of requests');


# --- HTTP/1.0, and no keep-alive ---

my $body = note_of(20);
my $old = Track::HTTP->new($nginx->port);
my $text = $old->request('/track', $body);
$text =~ s{HTTP/1\.1}{HTTP/1.0};
$r = $old->write($text)->read_response();
is($r->{status}, 204, 'HTTP/1.0');
ok(!$r->{keep}, 'the connection is closed then');

$r = Track::HTTP->new($nginx->port)->post('/track', note_of(20),
    'Connection' => 'close');
is($r->{status}, 204, 'Connection: close');


# --- HTTP/2 ---

my $tmp = File::Temp->new();

sub http2 {
    my ($path, $body, @more) = @_;
    spit($tmp->filename, $body);

    return run_ok('curl', '-sS', '--http2-prior-knowledge', '-m', 15,
        '-o', '/dev/null', '-w', '%{http_code} %{http_version}',
        '-H', 'Content-Type: application/json', '--data-binary',
        '@' . $tmp->filename, @more,
        sprintf('http://127.0.0.1:%d%s', $nginx->port2, $path));
}

for my $path ('/track', '/two-buffers', '/file') {
    for my $size (10, 20_000, 60_000) {
        is(http2($path, note_of($size)), '204 2', "HTTP/2: $path, $size bytes");
    }
}

is(http2('/track', '[' . join(',', map { note_of(1500) } 1 .. 300) . ']'),
    '204 2', 'HTTP/2: a batch of 450 KB');
is(http2('/track', 'broken'), '400 2', 'HTTP/2: not JSON');
# (An answer before the body was read is followed by RST_STREAM(NO_ERROR),
# which curl 7.88 reports as an error of its own.)
is(http2('/small', '[{},{},{},{}]'), '413 2', 'HTTP/2: too many events');
is(http2('/track', '{"event_type":"nope"}'), '422 2', 'HTTP/2: rejected');
is(http2('/track', note_of(4000), '-H', 'Content-Length:'), '204 2',
    'HTTP/2: without Content-Length');


# --- clients that leave ---

# The whole body was sent: the event goes to Kafka, whoever waits for it.
for (1 .. 10) {
    my $leaver = Track::HTTP->new($nginx->port)->connect();
    $leaver->write($leaver->request('/track', note_of(30)));
    $leaver->close();
}

my $half = Track::HTTP->new($nginx->port)->connect();
my $half_body = note_of(30);
$half->write($half->request('/track', $half_body));
$half->half_close();
my $answer = eval { $half->read_response() };
ok(!$answer || $answer->{status} == 204,
    'a half-closed connection is answered 204 or not at all');

# A part of the body only: nothing came in.
my $cut = Track::HTTP->new($nginx->port)->connect();
my $partial = $cut->request('/track', json_encode(event('note',
    { text => 'never whole' })));
$cut->write(substr $partial, 0, length($partial) - 5);
$cut->reset();
is($http->post('/track', note_of(10))->{status}, 204,
    'others are served after an aborted body');


# --- what is in Kafka ---

my $brokers = $stack->env('KAFKA_BROKERS');
my %got;

wait_for(40, 'all notes in Kafka', sub {
    %got = ();
    for (kafka_records($brokers, 'tracking_events')) {
        my $record = json_decode($_->{value});
        push @{ $got{ $record->{event_id} } }, $record->{fields}{text};
    }
    return keys %got >= keys %sent;
});

is_deeply([sort keys %got], [sort keys %sent], 'the events sent, no others');
is(scalar(grep { @$_ != 1 } values %got), 0, 'each once');
is(scalar(grep { $got{$_}[0] ne $sent{$_} } keys %sent), 0,
    'each with the text that was sent');

done_testing();
