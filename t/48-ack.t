#!/usr/bin/perl

# What an answer says of where the events are, without a spool: track_ack kafka
# and none, kept rejected events and bodies, records that Kafka refuses for good,
# topics that are missing, clients that leave; and what is counted meanwhile.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Encode ();
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
my $brokers = $stack->env('KAFKA_BROKERS');
$stack->define('click', name => 'string!');
my $good = event('click', { name => 'a' });
my $bad = event('click', {});

run_ok("$FindBin::Bin/lib/kafka-admin", $brokers, 'create-topic', 'tight', 1,
    'max.message.bytes=2000');

my $places = <<'CONF';
        location = /none { track; track_ack none; }
        location = /off { track; track_rejected_topic off; }
        location = /tight {
            track;
            track_kafka_topic tight;
            track_rejected_topic tight;
        }
        location = /absent { track; track_kafka_topic absent; }
        location = /absent-none {
            track;
            track_kafka_topic absent;
            track_ack none;
        }
        location = /absent-rejected { track; track_rejected_topic absent; }
CONF
my $conf = edge_conf('track_ack_timeout 2s;');
$conf =~ s/(\h+location = \/small)/$places\n$1/;

my $nginx = Track::Nginx->new(stack => $stack, workers => 1, http => $conf)
    ->start();
my $begin = now();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);

# Status and X-Track-Ack of a POST, on one connection all the way.
sub post {
    my ($path, $body, %header) = @_;
    my $r = $http->post($path, $body, %header);
    ok($r->{keep}, "$path: the connection is kept") if !$r->{keep};
    return join ' ', $r->{status}, $r->{header}{'x-track-ack'} // '-',
        ($r->{json} || {})->{error} ? $r->{json}{error}{code} : ();
}

# What the counters named have grown by while $code ran; reports may be later.
sub growth {
    my ($code, @names) = @_;
    my $before = $nginx->status()->{counters};
    $code->();
    my $after = $nginx->status()->{counters};
    return { map { $_ => $after->{$_} - $before->{$_} } @names };
}

# The value, as JSON, of the rejected record that has `text` in it.
sub rejected_with {
    my ($text) = @_;
    my @found = grep { index($_->{value}, $text) >= 0 }
        kafka_records($brokers, 'tracking_events_rejected');
    is(scalar @found, 1, "one rejected record with $text") or return {};
    return { %{ json_decode($found[0]{value}) }, key => $found[0]{key} };
}


# --- track_ack kafka ---

is(post('/track', $good), '204 kafka', 'accepted');
is(post('/track', [$good, $bad]), '200 kafka', 'some rejected');
is(post('/track', $bad), '422 kafka', 'all rejected: kept, too');
is(post('/off', $bad), '422 -', 'track_rejected_topic off: nothing is kept');
is(post('/off', 'nonsense'), '400 - malformed_json', 'likewise a body');
is_deeply(growth(sub { post('/track', [$good, $good, $bad]) },
    qw(requests events_acked events_failed kafka_delivered answers_2xx)),
    { requests => 1, events_acked => 3, events_failed => 0,
      kafka_delivered => 3, answers_2xx => 1 }, 'counters');


# --- rejected events, with all that is needed to send them again ---

my $id = uuid();
is(post('/track', { event_type => 'click', event_id => $id,
    fields => { colour => "r\x{e9}d" } }), '422 kafka', 'a rejected event');
my $record = rejected_with($id);
is($record->{key}, $id, 'its key is the event_id');
is($record->{event_id}, $id, 'event_id');
is_deeply([sort map { $_->{code} } @{ $record->{errors} }],
    [qw(missing_field unknown_field)], 'reasons');
is(json_decode(Encode::encode_utf8($record->{event}))->{fields}{colour},
    "r\x{e9}d", 'the event as it was sent');
like($record->{received_at}, qr/^\d{4}-.*Z$/, 'received_at');
is($record->{ip}, '127.0.0.1', 'ip');
like($record->{edge}, qr/^[0-9a-f]{16}$/, 'edge');
cmp_ok($record->{seq}, '>', 0, 'seq');

my %code = (
    malformed_json => qq({"event_type": "malformed" "$id"),
    not_an_event   => qq("not an event $id"),
    duplicate_key  => qq({"duplicate":1,"duplicate":"$id"}),
    too_deep       => '[' x 20 . qq("deep $id") . ']' x 20,
    invalid_utf8   => qq({"utf8":"$id \xff"}),
);
for my $code (sort keys %code) {
    is(post('/track', $code{$code}), "400 kafka $code", "$code: kept");
}
my @bodies = grep { $_->{errors}[0]{code} =~ /^(?:@{[join '|', keys %code]})$/ }
    map { json_decode($_->{value}) }
    kafka_records($brokers, 'tracking_events_rejected');
is(scalar @bodies, 5, 'one record a body');
is((grep { defined $_->{event} && $_->{event} eq $code{malformed_json} }
    @bodies), 1, 'with its bytes');
is((grep { defined $_->{event_base64} } @bodies), 1,
    'in base64, if they are not UTF-8');
is(post('/track', [($good) x 600]), '413 - too_many_events',
    'too many events: not kept');
is(post('/track', $good), '204 kafka', 'and on');


# --- track_ack none ---

my $none = uuid();
is(post('/none', event('click', { name => 'n' }, event_id => $none)),
    '202 none', 'none: 202');
ok(record_soon($stack, $none), 'and it arrives');
my $r = $http->post('/none', [$good, $bad]);
is($r->{status}, 202, 'none: some rejected');
is($r->{json}{rejected}[0]{index}, 1, 'and named');
is(post('/none', $bad), '422 none', 'none: all rejected');
is(post('/none', 'nonsense'), '400 none malformed_json', 'none: no JSON');


# --- refused for good ---

my $large = event('click', { name => 'x' x 3000 });
is(post('/tight', $good), '204 kafka', 'a small event');
is_deeply(growth(sub {
    is(post('/tight', $large), '413 - request_too_large',
        'larger than the topic takes: 413, not 503');
}, qw(kafka_refused events_failed ack_timeouts answers_4xx)),
    { kafka_refused => 1, events_failed => 1, ack_timeouts => 0,
      answers_4xx => 1 }, 'counted as refused');
ok($nginx->log_count(qr/topic "tight".*max\.message\.bytes/),
    'the log names the remedy');
is(post('/tight', event('click', { nope => 'x' x 3000 })),
    '413 - request_too_large', 'a rejected event likewise');
is(post('/tight', $good), '204 kafka', 'and on');

# Kafka refuses a batch for one of its records; the others are not to blame.
my @clients = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 4;
my @events = ((map { event('click', { name => 'y' x (300 + $_) }) } 1 .. 3),
    $large);
$_->[0]->write($_->[0]->request('/tight', json_encode($_->[1])))
    for map { [$clients[$_], $events[$_]] } 0 .. 3;
my @status = map { $_->read_response()->{status} } @clients;
is($status[3], 413, 'the largest of a batch: 413');
is_deeply([grep { !/^(?:204|503)$/ } @status[0 .. 2]], [],
    "the others: no 413 (@status)");


# --- a topic that is not there ---

my $named = qr/topic "absent" cannot be written to.*track-loader migrate/;
wait_for(40, 'the line that names the topic',
    sub { $nginx->log_count($named) });
cmp_ok(now() - $begin, '<', 90, 'it was said before anything was sent');
my $took = now();
is(post('/absent', $good), '503 - unavailable', 'a missing topic: 503');
cmp_ok(now() - $took, '<', 1.8, 'at once, not after track_ack_timeout');
is(post('/absent-rejected', $good), '204 kafka',
    'of rejected ones: accepted events do not need it');
is(post('/absent-rejected', [$good, $bad]), '503 - unavailable',
    'what names rejected events does');
is(post('/absent-none', $good), '202 none', 'none: 202 all the same');
is(post('/track', $good), '204 kafka', 'other topics are not held back');
run_ok("$FindBin::Bin/lib/kafka-admin", $brokers, 'create-topic', 'absent', 1);
wait_for(40, 'the topic to be seen',
    sub { post('/absent', $good) eq '204 kafka' });
pass('once it is there it is used');


# --- a broker that hangs ---

$stack->signal('kafka', 'STOP');

my $leaver = Track::HTTP->new($nginx->port)->connect();
my $left = uuid();
my $half = Track::HTTP->new($nginx->port)->connect();
is_deeply(growth(sub {
    my $before = $nginx->status()->{counters};
    $leaver->write($leaver->request('/track', json_encode(event('click',
        { name => 'l' }, event_id => $left))));
    $half->write($half->request('/track', json_encode($good)));
    wait_for(20, 'both to be under way', sub {
        $nginx->status()->{counters}{events_accepted}
            >= $before->{events_accepted} + 2 });
    $leaver->reset();
    $half->half_close();
    eval { wait_for(20, 'both to be gone', sub {
        $nginx->status()->{counters}{clients_gone}
            >= $before->{clients_gone} + 2 }) };
    is($half->read_response(), undef, 'half-closed means gone: no answer');
    is(post('/track', [$good, $bad]), '503 - unavailable', 'no report: 503');
}, qw(clients_gone events_acked ack_timeouts events_failed kafka_delivered
    answers_5xx)),
    { clients_gone => 2, events_acked => 0, ack_timeouts => 3,
      events_failed => 4, kafka_delivered => 0, answers_5xx => 1 },
    'clients that left are counted, and time out as well');
is(post('/none', $good), '202 none', 'none: 202 at once');
is(post('/track', 'nonsense'), '503 - unavailable',
    'a 400 is told when it is kept');
is(post('/off', 'nonsense'), '400 - malformed_json',
    'or at once, where nothing is');

my $late = $nginx->status()->{counters}{late_reports};
$stack->signal('kafka', 'CONT');
wait_for(60, '204 again', sub { post('/track', $good) eq '204 kafka' });
ok(record_soon($stack, $left), 'the event of the one that left is in Kafka');
wait_for(30, 'late reports', sub {
    $nginx->status()->{counters}{late_reports} >= $late + 4 });
pass('late reports are counted');

my $gauges = $nginx->status();
is($gauges->{gauges}{waiting} // $gauges->{waiting}, 0, 'nobody waits');

done_testing();
