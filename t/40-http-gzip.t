#!/usr/bin/perl

# Bodies in gzip, by header and by magic bytes; and the ways to lie about it:
# bombs, ratios, truncated and damaged streams, bytes behind the end, headers on
# what is no gzip.  After each the connection serves the next request.

use strict;
use warnings;

use Compress::Raw::Zlib qw(crc32 MAX_WBITS WANT_GZIP Z_BEST_COMPRESSION
    Z_OK);
use FindBin;
use MIME::Base64 qw(decode_base64);
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
my %GZIP = ('Content-Encoding' => 'gzip');
my %sent;           # event_id => text


# A body with one event, whose text has about $size random characters.
sub body_of {
    my ($size, $padding) = @_;
    my $id = uuid();
    $sent{$id} = join '', map { chr 97 + int rand 26 } 1 .. $size;

    return json_encode(event('note', { text => $sent{$id} },
        event_id => $id)) . ($padding // '');
}


sub gzip {
    my ($text, $bits) = @_;
    my $z = Compress::Raw::Zlib::Deflate->new(
        -WindowBits => $bits // WANT_GZIP, -Level => Z_BEST_COMPRESSION,
        -AppendOutput => 1);
    my $out = '';

    $z->deflate($text, $out) == Z_OK or die "deflate failed\n";
    $z->flush($out) == Z_OK or die "deflate failed\n";

    return $out;
}


# Posts, then a good event on the same connection.
sub posted {
    my ($name, $body, $status, $code, %header) = @_;
    my $path = delete $header{':path'} // '/track';
    my $r = $http->post($path, $body, %header);

    is($r->{status}, $status, "$name: $status") or diag($r->{body});
    is($r->{json}{error}{code}, $code, "$name: $code") if $code;
    is($http->post('/track', gzip(body_of(10)), %GZIP)->{status}, 204,
        "$name: the next one is taken");

    return $r;
}


# --- counted ---

my $counted = $nginx->status()->{counters}{body_gzip};
is($http->post('/track', gzip(body_of(10)), %GZIP)->{status}, 204, 'gzip');
is($nginx->status()->{counters}{body_gzip}, $counted + 1, 'is counted, once');


# --- taken ---

posted('gzip', gzip(body_of(50)), 204, undef, %GZIP);
posted('x-gzip', gzip(body_of(50)), 204, undef,
    'Content-Encoding' => 'X-GZip');
posted('identity', body_of(50), 204, undef, 'Content-Encoding' => 'identity');

for my $type ('application/json', 'text/plain', undef) {
    posted('magic bytes as ' . ($type // 'nothing'), gzip(body_of(50)), 204,
        undef, 'Content-Type' => $type);
}

posted('lines', gzip(body_of(20) . "\n" . body_of(20)), 204, undef, %GZIP,
    'Content-Type' => 'application/x-ndjson');
posted('lines of a beacon', gzip(body_of(20) . "\n" . body_of(20)), 204, undef,
    'Content-Type' => 'text/plain');
posted('a batch', gzip('{"batch":[' . join(',', map { body_of(1500) } 1 .. 400)
    . ']}'), 204, undef, %GZIP);

# All that a gzip header may have: FTEXT, FHCRC, FEXTRA, FNAME, FCOMMENT.
my $header = "\x1f\x8b\x08\x1f\0\0\0\0\0\xff\x03\0abcname\0comment\0";
$header .= pack 'v', crc32($header) & 0xffff;
posted('a full header', $header . substr(gzip(body_of(50)), 10), 204, undef,
    %GZIP);

my $r = posted('rejected', gzip('[{}]'), 422, undef, %GZIP);
is($r->{json}{rejected}[0]{errors}[0]{code}, 'missing_event_type', 'judged');
$r = posted('not JSON', gzip(' ' x 9 . 'x'), 400, 'malformed_json', %GZIP);
is($r->{json}{error}{offset}, 9, 'the offset is that of the text');


# --- every way to arrive ---

for my $path ('/track', '/two-buffers', '/file') {
    for my $size (10, 1500, 60_000) {
        is($http->post($path, gzip(body_of($size)), %GZIP)->{status}, 204,
            "$path: $size bytes");
        is($http->post($path, gzip(body_of($size)))->{status}, 204,
            "$path: $size bytes, no header");
    }

    for my $n (1, 2, 1000) {
        my @chunks = unpack "(a$n)*", gzip(body_of(3000));
        is($http->write($http->chunked_request($path, @chunks))
            ->read_response()->{status}, 204, "$path: chunks of $n bytes");
    }
}

is($http->write_slowly($http->request('/track', gzip(body_of(40)), %GZIP), 0)
    ->read_response()->{status}, 204, 'byte by byte');

my $tmp = File::Temp->new();

for my $path ('/track', '/two-buffers', '/file') {
    for my $encoding ('gzip', '') {
        spit($tmp->filename, gzip(body_of(20_000)));
        is(run_ok('curl', '-sS', '--http2-prior-knowledge', '-m', 15,
            '-o', '/dev/null', '-w', '%{http_code} %{http_version}',
            '-H', 'Content-Type: application/json',
            '-H', "Content-Encoding: $encoding",
            '--data-binary', '@' . $tmp->filename,
            sprintf('http://127.0.0.1:%d%s', $nginx->port2, $path)),
            '204 2', "HTTP/2: $path, Content-Encoding: '$encoding'");
    }
}


# --- no gzip, or not all of it ---

my $text = json_encode(event('note', { text => 'never taken' }));
my $whole = gzip($text);

posted('a header on JSON', $text, 400, 'bad_encoding', %GZIP);
posted('a header on nothing', '', 400, 'bad_encoding', %GZIP);
posted('zlib, not gzip', gzip($text, MAX_WBITS), 400, 'bad_encoding', %GZIP);
posted('magic bytes only', "\x1f\x8b", 400, 'bad_encoding');
posted('another method', "\x1f\x8b\x07" . substr($whole, 3), 400,
    'bad_encoding');
posted('reserved flags', substr($whole, 0, 3) . "\xe0" . substr($whole, 4),
    400, 'bad_encoding', %GZIP);

my @taken = grep {
    my $r = $http->post('/track', substr($whole, 0, $_), %GZIP);
    $r->{status} != 400 || $r->{json}{error}{code} ne 'bad_encoding'
} 0 .. length($whole) - 1;
is("@taken", '', 'cut off at any place: bad_encoding');

@taken = grep {
    my $damaged = $whole;
    substr($damaged, $_, 1) = chr(ord(substr $damaged, $_, 1) ^ 0x55);
    $http->post('/track', $damaged, %GZIP)->{status} != 400
} 0 .. 3, 10 .. length($whole) - 1;
is("@taken", '', 'one byte damaged: 400 (time, level and system mean nothing)');

posted('a byte behind the end', $whole . 'x', 400, 'bad_encoding', %GZIP);
posted('zeros behind the end', $whole . "\0" x 512, 400, 'bad_encoding',
    %GZIP);
posted('a second stream', $whole . $whole, 400, 'bad_encoding', %GZIP);
posted('a byte behind the end, no header', $whole . 'x', 400, 'bad_encoding');
is($http->write($http->chunked_request('/track', $whole, 'x'))
    ->read_response()->{status}, 400, 'a chunk behind the end');
is($http->post('/file', $whole . 'x', %GZIP)->{status}, 400,
    'a byte behind the end in a file');
posted('gzip in gzip', gzip($whole), 400, undef, %GZIP);


# --- too much of it ---

my $max = 1 << 20;      # client_max_body_size
my $noise = join '', map { ' ' x (1 + int rand 40) . "\n" x (1 + int rand 40) }
    1 .. 60_000;
my $good = body_of(10);
posted('exactly client_max_body_size',
    gzip($good . substr($noise, 0, $max - length $good)), 204, undef,
    %GZIP);
posted('a byte more', gzip($text . substr($noise, 0,
    $max + 1 - length $text)), 413, 'request_too_large', %GZIP);

posted('below what the ratio leaves free', gzip(body_of(10, ' ' x 65_000)),
    204, undef, %GZIP);
posted('above the ratio', gzip($text . ' ' x 400_000), 413,
    'request_too_large', %GZIP);

my $bomb = gzip(' ' x (100 << 20));
cmp_ok(length $bomb, '<', 200_000, 'a bomb of 100 MB is small');
posted('a bomb', $bomb, 413, 'request_too_large', %GZIP);
posted('a bomb without header', $bomb, 413, 'request_too_large');
posted('a bomb in a file', $bomb, 413, 'request_too_large', %GZIP,
    ':path' => '/file');

posted('over what the location can take', gzip(' ' x 3000), 413,
    'request_too_large', %GZIP, ':path' => '/small');


# --- other encodings ---

for my $encoding ('br', 'deflate', 'zstd', 'compress', 'gzip, gzip',
                  'identity, gzip', 'gzip;q=1', 'gzipx')
{
    my $r = posted("Content-Encoding: $encoding", $whole, 415,
        'unsupported_media_type', 'Content-Encoding' => $encoding);
    is($r->{header}{'accept-encoding'}, 'gzip',
        "$encoding: Accept-Encoding says what would be taken");
    ok(!exists $r->{header}{accept}, "$encoding: not Accept");
}

my $twice = $http->request('/track', $whole, %GZIP);
$twice =~ s/(Content-Encoding: gzip\r\n)/$1$1/;
is($http->write($twice)->read_response()->{status}, 415,
    'Content-Encoding twice');


# --- what is in Kafka ---

my %got;
wait_for(40, 'all notes in Kafka', sub {
    %got = ();
    for (kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events')) {
        my $record = json_decode($_->{value});
        push @{ $got{ $record->{event_id} } }, $record->{fields}{text};
    }
    return keys %got >= keys %sent;
});

is_deeply([sort keys %got], [sort keys %sent], 'the events sent, no others');
is(scalar(grep { @{ $got{$_} } != 1 || $got{$_}[0] ne $sent{$_} } keys %sent),
    0, 'each once, with its text');


# --- what is kept of bodies that fail ---

my @rejected = map { json_decode($_->{value}) }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events_rejected');

my ($damaged) = grep { ($_->{event_base64} // '') ne ''
    && decode_base64($_->{event_base64}) eq $whole . 'x' } @rejected;
ok($damaged, 'a stream with a byte too much is kept, as it came');
is_deeply([map { $_->{code} } @{ $damaged->{errors} || [] }],
    ['bad_encoding'], 'with its reason');

my ($plain) = grep { ($_->{event} // '') eq $text } @rejected;
ok($plain, 'what was no gzip is kept as text');
my ($inner) = grep { ($_->{event} // '') eq ' ' x 9 . 'x' } @rejected;
is_deeply($inner ? $inner->{errors}[0]{offset} : undef, 9,
    'what is no JSON is kept inflated, with the place in it');
is(scalar(grep { ($_->{errors}[0]{code} // '') =~ /too_large|media/ }
    @rejected), 0, 'nothing is kept of what was too large');

done_testing();
