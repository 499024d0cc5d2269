#!/usr/bin/perl

# One event a line: application/x-ndjson always, text/plain (and no type) when a
# second value follows.  A line is judged like the element of an array; what is
# no JSON fails as a whole, with its place in the whole body.

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
$stack->define('note', text => 'string!');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf())->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my %NDJSON = ('Content-Type' => 'application/x-ndjson');
my %TEXT = ('Content-Type' => 'text/plain;charset=UTF-8');
my %NONE = ('Content-Type' => undef);
my %sent;           # event_id => text
my $count = 0;


# A good event's line, without its end.
sub line_of {
    my ($text) = @_;
    my $id = uuid();
    $sent{$id} = $text // 'note ' . ++$count;

    return json_encode(event('note', { text => $sent{$id} },
        event_id => $id));
}


# "index:code,code index:code" of a response's rejected events.
sub rejected {
    my ($r) = @_;

    return join ' ', map {
        "$_->{index}:" . join ',', sort map { $_->{code} } @{ $_->{errors} }
    } @{ ($r->{json} || {})->{rejected} || [] };
}


# Posts, and then a good event on the same connection.
sub posted {
    my ($name, $body, $status, %header) = @_;
    my $r = $http->post('/track', $body, %header);

    is($r->{status}, $status, "$name: $status") or diag($r->{body});
    is($http->post('/track', line_of())->{status}, 204, "$name: the next one");

    return $r;
}


# --- lines ---

posted('one line', line_of(), 204, %NDJSON);
posted('one line with its end', line_of() . "\n", 204, %NDJSON);
posted('three lines', join("\n", line_of(), line_of(), line_of()), 204, %NDJSON);
posted('CRLF', join('', map { line_of() . "\r\n" } 1 .. 3), 204, %NDJSON);
posted('empty lines', "\n\r\n" . line_of() . "\n\n \t\n" . line_of() . "\n\n", 204,
    %NDJSON);
posted('white space around', "  " . line_of() . " \t\r\n\t" . line_of() . "  \n",
    204, %NDJSON);
posted('500 lines', join("\n", map { line_of() } 1 .. 500), 204, %NDJSON);
posted('no ASCII', line_of("\x{4f60}\x{597d}\\n \x{1F600}") . "\n" . line_of(), 204,
    %NDJSON);
posted('parameters', line_of() . "\n" . line_of(), 204,
    'Content-Type' => 'Application/X-NDJSON; charset=utf-8; x=y');

posted('text/plain, two lines', line_of() . "\n" . line_of(), 204, %TEXT);
posted('text/plain, one event', line_of(), 204, %TEXT);
posted('text/plain, an array', '[' . line_of() . ',' . line_of() . ']', 204, %TEXT);
posted('text/plain, a batch over some lines',
    "{\n\"batch\": [\n" . line_of() . ",\n" . line_of() . "\n]\n}\n", 204, %TEXT);
posted('no type, two lines', line_of() . "\n" . line_of() . "\n", 204, %NONE);


# --- rejected lines ---

my $r = posted('some rejected',
    join("\n", line_of(), '{}', '', '7', line_of(), '[' . '{}' . ']', 'null'), 200,
    %NDJSON);
is(rejected($r), '1:missing_event_type 2:not_an_object 4:not_an_object'
    . ' 5:not_an_object', 'by their number among the events');
is($r->{json}{accepted}, 2, 'the others are accepted');

$r = posted('a batch on a line', '{"batch":[{"event_type":"note"}]}', 422,
    %NDJSON);
is(rejected($r), '0:missing_event_type,unknown_property',
    'a batch is no event');

$r = posted('text/plain, an array and an event', "[{}]\n" . line_of(), 200, %TEXT);
is(rejected($r), '0:not_an_object', 'an array is no event');


# --- bodies that fail as a whole ---

sub refused {
    my ($name, $body, $code, $offset, %header) = @_;
    my $r = posted($name, $body, 400, %header);

    is($r->{json}{error}{code}, $code, "$name: $code");
    is($r->{json}{error}{offset}, $offset, "$name: offset");
}

my $first = json_encode(event('note', { text => 'not taken' }));
my $n = length $first;

refused('an empty body', '', 'not_an_event', undef, %NDJSON);
refused('empty lines only', "\n\r\n ", 'not_an_event', undef, %NDJSON);
refused('a broken line', "$first\n{\"a\":}\n$first", 'malformed_json',
    $n + 1 + 5, %NDJSON);
refused('two values on a line', "$first $first\n", 'malformed_json', $n + 1,
    %NDJSON);
refused('a value over two lines', "$first\n{\n}\n", 'malformed_json',
    $n + 1 + 1, %NDJSON);
refused('a comma after a line', "$first,\n$first", 'malformed_json', $n,
    %NDJSON);
refused('not UTF-8', "$first\n{\"a\":\"\xff\"}", 'invalid_utf8', $n + 1 + 6,
    %NDJSON);
refused('a name twice', "$first\n{\"a\":1,\"a\":1}", 'duplicate_key',
    $n + 1 + 7, %NDJSON);
refused('17 levels', "$first\n" . '[' x 17, 'too_deep', $n + 1 + 16, %NDJSON);
refused('NUL', "$first\n\0", 'malformed_json', $n + 1, %NDJSON);
refused('two lines as application/json', "$first\n$first", 'malformed_json',
    $n + 1);
refused('text/plain, something behind', "$first x", 'malformed_json', $n + 1,
    %TEXT);
refused('text/plain, a value over lines, then another', "{\n}\n{}",
    'malformed_json', 1, %TEXT);

$r = $http->post('/small', "{}\n" x 4, %NDJSON);
is($r->{status}, 413, 'more lines than track_max_events');
is($r->{json}{error}{code}, 'too_many_events', 'too_many_events');

for my $type ('application/ndjson', 'application/jsonl', 'application/x-ndjsonx',
              'application/x-ndjson; charset=utf-16',
              'application/json; charset=utf-8x')
{
    $r = posted($type, $first, 415, 'Content-Type' => $type);
    is($r->{json}{error}{code}, 'unsupported_media_type', "$type: code");
    is($r->{header}{accept},
        'application/json, application/x-ndjson, text/plain',
        "$type: Accept says what would be taken");
    ok(!exists $r->{header}{'accept-encoding'}, "$type: not Accept-Encoding");
}


# --- what a batch's context may weigh ---

for ([8192, ''], [8193, '0:bad_context 1:bad_context']) {
    my ($size, $wanted) = @$_;
    my $context = '{"locale":"' . 'x' x ($size - 13) . '"}';
    my @notes = $wanted ? ($first, $first) : (line_of(), line_of());
    my $r = posted("a context of $size bytes", '{"batch":['
        . join(',', @notes) . '],"context":' . $context . '}',
        $wanted ? 422 : 204);
    is(rejected($r), $wanted, "a context of $size bytes: verdict");
}


# --- ways of arriving ---

for my $path ('/two-buffers', '/file') {
    my @lines = map { line_of('x' x 400) . "\n" } 1 .. 20;
    is($http->post($path, join('', @lines), %NDJSON)->{status}, 204, $path);

    my $body = join '', map { line_of('y' x 90) . "\r\n" } 1 .. 20;
    my $text = $http->chunked_request($path, unpack '(a7)*', $body);
    $text =~ s{application/json}{application/x-ndjson};
    is($http->write($text)->read_response()->{status}, 204, "$path, chunked");
}


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

done_testing();
