#!/usr/bin/perl

# Requests that two servers could cut apart in different places, and clients that
# take their time.  Whatever nginx answers, an event is taken only if its request
# was answered 204, and no body ever becomes a request.

use strict;
use warnings;

use FindBin;
use IO::Select ();
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('note', text => 'string!');
my $conf = edge_conf();
$conf =~ s/(keepalive_requests 100000;)/$1
        client_body_timeout 2s;
        client_header_timeout 6s;/;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf)->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my %taken;          # texts that were answered 204
my %never;          # texts that must not arrive


sub line_of {
    my ($text) = @_;
    return json_encode(event('note', { text => $text }));
}


# A request inside a body: would be taken if it were cut loose.
sub hidden {
    my ($text) = @_;
    $never{$text} = 1;
    my $body = line_of($text);

    return "POST /track HTTP/1.1\r\nHost: localhost\r\nContent-Type:"
        . " application/json\r\nContent-Length: " . length($body)
        . "\r\n\r\n$body";
}


# Sends bytes on a connection of their own, reads as many answers as are due, and
# what comes then until it is closed or quiet; returns their statuses.
sub answers {
    my ($bytes, $due) = @_;
    my $client = Track::HTTP->new($nginx->port)->connect();
    my @statuses;

    $client->write($bytes);

    while (@statuses < 5) {
        last if !length $client->{buffer}
            && !IO::Select->new($client->socket)
                ->can_read(@statuses < ($due || 1) ? 30 : 0.3);
        my $r = eval { $client->read_response() } or last;
        push @statuses, $r->{status};
        last if !$r->{keep};
    }
    $client->close();

    return "@statuses";
}


# shape('name', 'header lines', 'body', 'statuses'): a POST to /track.
sub shape {
    my ($name, $header, $body, $wanted, %arg) = @_;
    my $line = $arg{line} // 'POST /track HTTP/1.1';

    is(answers("$line\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        . "$header\r\n$body", scalar split ' ', $wanted), $wanted, $name);
}


my $note = line_of('first');
my $n = length $note;
my $hex = sprintf '%x', $n;

# --- two lengths ---

my $inner = hidden('CL.TE');
shape('Content-Length and chunked', "Content-Length: " . length("0\r\n\r\n$inner")
    . "\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n$inner", '400');

$inner = hidden('TE.CL');
shape('chunked and Content-Length', "Transfer-Encoding: chunked\r\n"
    . "Content-Length: 4\r\n",
    sprintf("%x\r\n%s\r\n0\r\n\r\n", length $inner, $inner), '400');

for (['two different lengths', "Content-Length: $n\r\nContent-Length: 0\r\n"],
     ['two equal lengths', "Content-Length: $n\r\nContent-Length: $n\r\n"],
     ['a list of lengths', "Content-Length: $n, $n\r\n"],
     ['a negative length', "Content-Length: -1\r\n"],
     ['a length with a sign', "Content-Length: +$n\r\n"],
     ['a length in hex', "Content-Length: 0x$hex\r\n"],
     ['a length with a letter', "Content-Length: ${n}x\r\n"],
     ['an empty length', "Content-Length: \r\n"],
     ['a length beyond 64 bits', "Content-Length: 99999999999999999999\r\n"])
{
    my ($name, $header) = @$_;
    shape($name, $header, $note . hidden("behind $name"), '400');
}


# --- what chunked looks like ---

for my $encoding ('xchunked', 'chunked, chunked', 'gzip, chunked', 'identity',
                  'chunked, identity', "\x0bchunked", '"chunked"', '')
{
    (my $name = $encoding) =~ s/\x0b/VT/;
    my $got = answers("POST /track HTTP/1.1\r\nHost: localhost\r\n"
        . "Transfer-Encoding: $encoding\r\n\r\n" . hidden("TE $name"));
    like($got, qr/^(400|501)$/, "Transfer-Encoding: $name: $got");
}

shape('Transfer-Encoding twice',
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "0\r\n\r\n" . hidden('TE twice'), '400');
shape('chunked in HTTP/1.0', "Transfer-Encoding: chunked\r\n",
    "0\r\n\r\n" . hidden('TE 1.0'), '400', line => 'POST /track HTTP/1.0');

my $chunked = "Transfer-Encoding: Chunked\r\n";

for (['a size that is no number', "xyz\r\n"],
     ['a negative size', "-1\r\n"],
     ['a size with a prefix', "0x$hex\r\n$note\r\n0\r\n\r\n"],
     ['a size beyond 64 bits', "ffffffffffffffffff\r\n"],
     ['no size', "\r\n$note\r\n0\r\n\r\n"],
     ['a chunk longer than its size', "3\r\n$note\r\n0\r\n\r\n"])
{
    my ($name, $body) = @$_;
    shape("chunks: $name", $chunked, $body . hidden("chunk $name"), '400');
}

$taken{'extension'} = 1;
shape('chunks with extensions', $chunked, do {
    my $text = line_of('extension');
    sprintf("%x;a=b;c=\"d\"\r\n%s\r\n0;x\r\n\r\n", length $text, $text) },
    '204');

$taken{'trailer'} = 1;
shape('chunks with a trailer', $chunked, do {
    my $text = line_of('trailer');
    sprintf("%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n", length $text, $text) },
    '204');

$taken{$_} = 1 for 'after chunks 1', 'after chunks 2';
my ($one, $two) = map { line_of("after chunks $_") } 1, 2;
shape('a request behind chunks is one', $chunked,
    sprintf("%x\r\n%s\r\n0\r\n\r\n", length $one, $one)
    . "POST /track HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    . length($two) . "\r\n\r\n$two", '204 204');


# --- lines ---

$taken{'LF'} = 1;
my $lf = line_of('LF');
is(answers("POST /track HTTP/1.1\nHost: localhost\nContent-Length: "
    . length($lf) . "\n\n$lf"), '204', 'lines that end with LF only');

shape('a space before the colon', "Content-Length : $n\r\n",
    $note . hidden('space'), '400');
shape('a folded header', "Content-Length:\r\n $n\r\n", $note
    . hidden('folded'), '400');
shape('a NUL in a header', "X: a\0b\r\nContent-Length: $n\r\n", $note
    . hidden('NUL'), '400');

my $lie = line_of('lie');
$taken{'lie'} = 1;
is(answers("POST /track HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    . length($lie) . "\r\n\r\n$lie" . "GARBAGE\r\n\r\n" . hidden('garbage'),
    2), '204 400', 'garbage behind a body is a bad request, and the end');


# --- refused, with a body that looks like a request ---

# The body of a request that is refused early is thrown away, not served.
for (['415', "Content-Type: text/html\r\n", '/track', 415],
     ['415 by encoding', "Content-Encoding: br\r\n", '/track', 415],
     ['413', "Content-Type: text/plain\r\n", '/small', 413])
{
    my ($name, $header, $path, $status) = @$_;
    my $body = hidden($name) . ' ' x 3000;
    my $got = answers("POST $path HTTP/1.1\r\nHost: localhost\r\n$header"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body"
        . "GET /track/status HTTP/1.1\r\nHost: localhost\r\n\r\n", 2);
    is($got, "$status 200", "$name: the body is skipped, what follows served");
}

my $get = hidden('GET');
is(answers("GET /track HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    . length($get) . "\r\n\r\n$get"), '405', 'a GET with a body');


# --- slow ---

my $slow = $http->request('/track', line_of('slow'));
$taken{'slow'} = 1;
is($http->write_slowly($slow, 0.005)->read_response()->{status}, 204,
    'a byte now and then');

# Each of these stops at another place; after 2 s nginx gives up on them, and
# nobody else waits.
my $text = $http->request('/track', line_of('stopped'));
$never{'stopped'} = 1;
my $compressed = $http->chunked_request('/track', "\x1f\x8b\x08\0\0\0");
my @stopped = map {
    my $client = Track::HTTP->new($nginx->port)->connect();
    $client->write($_);
    $client;
} (substr($text, 0, 10), substr($text, 0, index($text, "\r\n\r\n") + 3),
   substr($text, 0, length($text) - 1), substr($compressed, 0, -3));

for (1 .. 20) {
    $taken{"beside $_"} = 1;
    is($http->post('/track', line_of("beside $_"))->{status}, 204,
        "served beside slow ones ($_)") or last;
}

for my $client (@stopped) {
    my $r = eval { $client->read_response() };
    ok(!$r || $r->{status} == 408, 'one that stopped is closed, or told 408');
    $client->close();
}


# --- what is in Kafka ---

my %got;
wait_for(40, 'all notes in Kafka', sub {
    %got = ();
    $got{ json_decode($_->{value})->{fields}{text} }++
        for kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events');
    return keys %got >= keys %taken;
});

is_deeply([sort keys %got], [sort keys %taken], 'what was answered 204');
is_deeply([grep { $never{$_} } sort keys %got], [],
    'nothing that stood in a body');

done_testing();
