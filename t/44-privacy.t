#!/usr/bin/perl

# Privacy at the first byte: with track_ip truncated or off, and where signals
# are honoured, what is not to be known is nowhere: not in Kafka, in no file of
# the spool, not in the live stream, in no line of ours.

use strict;
use warnings;

use File::Find ();
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Live;
use Track::Nginx;
use Track::Util;

my $SERVERS = <<'CONF';
    track_spool %%DIR%%/spool;
    error_log info.log info;
    log_format private '$track_ip $request_method $uri $status';
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Client;

    server {
        listen 127.0.0.1:%%PORT%%;
        access_log %%DIR%%/access.log private;
        track_ack_timeout 500ms;

        location = /full      { track; }
        location = /truncated { track; track_ip truncated; }
        location = /off       { track; track_ip off; }
        location = /signals   { track; track_honor_privacy_signals on; }
        location = /spooled   { track; track_ip truncated; track_ack spool; }
        location = /key       { track; track_ip off; track_key required; }
        location = /keys      { track; track_key required; }
        location = /pixel     { track_pixel; }
        location = /live      { track_live; }
        location = /ready     { track; }
    }
CONF

my $stack = edge_stack();
$stack->define('click', name => 'string');
$stack->define('keeping', { additional_fields => 'keep' });
my $token = $stack->psql("SELECT track_create_token('t', ARRAY['live']);")
    =~ s/\n//r;

my $conf = edge_conf() =~ s/^    server \{.*//msr . $SERVERS;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf,
    folders => ['spool'], main => 'error_log info.log info;')->start();
wait_for(10, 'a schema', sub {
    Track::HTTP->new($nginx->port)->post('/ready', event('none'))
        ->{status} == 422 });
my $http = Track::HTTP->new($nginx->port);
my @topics = qw(tracking_events tracking_events_rejected tracking_events_dead
    tracking_ledger);

my ($live, @live);
my $posted = 0;
sub listen_live { $live = Track::Live->new($nginx->port, $token) }
wait_for(10, 'the token', sub { listen_live()->status() == 200 });

# What the module itself has said, in either log.
sub ours {
    return grep { / track: / } split /\n/,
        $nginx->error_log() . slurp($nginx->dir . '/info.log');
}

# All that was kept or shown, by name.
sub kept {
    my %kept;
    for my $topic (@topics) {
        $kept{"topic $topic"} = join "\n", map { $_->{key} // '', $_->{value} }
            kafka_records($stack->env('KAFKA_BROKERS'), $topic);
    }
    File::Find::find({ no_chdir => 1, wanted => sub {
        $kept{"file $_"} = slurp($_) if -f;
    } }, $nginx->dir . '/spool', $nginx->dir . '/schema');
    $kept{'lines of ours'} = join "\n", ours();
    wait_for(20, "$posted lines in the access log", sub {
        my $text = slurp($nginx->dir . '/access.log');
        return $posted <= (() = $text =~ m{ POST /(?!ready)}g);
    });
    $kept{'access log'} = slurp($nginx->dir . '/access.log');

    # The stream has all that was judged before this.
    my $last = 'mark ' . uuid();
    $http->post('/ready', event($last));
    push @live, map { $_->{data} }
        $live->until_verdict(sub { ($_[0]{event_type} // '') eq $last });
    $kept{'live stream'} = join "\n", @live;

    return \%kept;
}

sub nowhere {
    my ($what, @texts) = @_;
    my $kept = kept();
    for my $text (@texts) {
        is_deeply([grep { index($kept->{$_}, $text) >= 0 } sort keys %$kept],
            [], "$what: '$text' is nowhere");
    }

    return $kept;
}

sub post {
    $posted++;
    return $http->post(@_)->{status};
}

# One of each kind of request that leaves something behind.
sub everything {
    my ($path, $name, %header) = @_;
    my $id = uuid();
    my @event = ('click', { name => $name });

    is(post($path, event(@event, event_id => $id), %header), 204,
        "$path: an event");
    is(post($path, [event(@event), event('nope', { name => $name })], %header),
        200, "$path: some rejected");
    is(post($path, event('nope', { name => $name }), %header), 422,
        "$path: all rejected");
    is(post($path, qq({"event_type":"click","name":"$name"), %header), 400,
        "$path: malformed");
    is(post($path, $name, %header, 'Content-Type' => 'text/html'), 415,
        "$path: a media type");

    return $id;
}

sub record_ip {
    my ($id) = @_;
    return record_soon($stack, $id)->{json}{ip};
}


# --- full, for comparison: the test would see it ---

my $id = everything('/full', 'seen', 'X-Client' => '198.51.100.42');
is(record_ip($id), '198.51.100.42', 'full: the address');
my $kept = kept();
like($kept->{$_}, qr/198\.51\.100\.42/, "full: it is in the $_")
    for 'topic tracking_events', 'topic tracking_events_rejected',
        'lines of ours', 'access log', 'live stream';


# --- truncated, off ---

my %client = (
    '203.0.113.77'             => ['203.0.113.0', '203.0.113.77'],
    '::ffff:192.0.2.177'       => ['192.0.2.0', '192.0.2.177'],
    '2001:db8:1:2:3:4:5:6'     => ['2001:db8:1::', '2001:db8:1:2'],
    '2002:c633:6463:1::9'      => ['2002:c633:6400::', '2002:c633:6463'],
);
for my $client (sort keys %client) {
    my ($short, $hidden) = @{ $client{$client} };
    my %header = ('X-Client' => $client);

    is(record_ip(everything('/truncated', 'kept', %header)), $short,
        "$client, truncated: $short");
    is(record_ip(everything('/off', 'kept', %header)), undef,
        "$client, off: none");
    is(record_ip(everything('/spooled', 'kept', %header)), $short,
        "$client, by the spool: $short");
    is(post('/key', event('click'), %header, 'X-Track-Key' => 'wk_1'), 401,
        "$client: a wrong key");
    $kept = nowhere($client, $client, $hidden);
    like($kept->{$_}, qr/\Q$short\E/, "$client: $short is in the $_")
        for 'topic tracking_events_rejected', 'access log', 'live stream';
}
is(scalar(grep { /request refused: unknown_key/ } ours()), 4,
    'what we say of such requests stands in the log, without them');


# --- while Kafka is away: in the spool, and in lines about it ---

$stack->signal('kafka', 'STOP');
for my $path ('/truncated', '/off') {
    is(post($path, event('click', { name => 'away' }),
        'X-Client' => '203.0.113.99'), 204, "$path: Kafka away");
    is(post($path, event('nope', { name => 'away' }),
        'X-Client' => '203.0.113.99'), 422, "$path: rejected, Kafka away");
}
my $spooled = join '', map { slurp($_) } grep { -f }
    glob $nginx->dir . '/spool/*/*';
like($spooled, qr/"name":"away"/, 'the spool has the events');
like($spooled, qr/203\.0\.113\.0/, 'with their truncated addresses');
unlike($spooled, qr/203\.0\.113\.99/, 'and no others');
$stack->signal('kafka', 'CONT');
nowhere('Kafka away', '203.0.113.99');


# --- signals: no address, no identifiers ---

my @names = map { "secret-$_-" . uuid() } qw(user session anonymous);
my %who = (user_id => $names[0], session_id => $names[1],
    anonymous_id => $names[2]);
my $number = 0;

for (['Sec-GPC' => 1], ['DNT' => 1], ['dnt' => 1, 'sec-gpc' => 0]) {
    my %header = (@$_, 'X-Client' => '203.0.113.88');
    my $what = join ' ', @$_;
    $id = uuid();
    my $name = 'honoured ' . ++$number;
    is(post('/signals', event('click', { name => $name }, %who,
        event_id => $id), %header), 204, "$what: accepted");
    my $record = record_of($stack, $id);
    is($record->{key}, $id, "$what: the key is the event's own");
    is_deeply([grep { exists $record->{json}{$_} } qw(ip user_id session_id
        anonymous_id)], [], "$what: the event is kept without identifiers");
    is($record->{json}{fields}{name}, $name, "$what: the rest of it is");

    is(post('/signals', [event('nope', { name => $name }, %who)], %header),
        422, "$what: rejected");
    is(post('/signals', '{"user_id":"' . $names[0] . '"', %header), 400,
        "$what: malformed");
    is(post('/signals', '["' . $names[1] . '"]', %header), 422,
        "$what: no event");
    is(post('/signals', event('click', {}, user_id => [@names]), %header), 422,
        "$what: identifiers of a wrong type");
    is(post('/signals', { %{ event('click') }, "user\x{5f}id2" => $names[2] },
        %header), 422, "$what: under another name");
}
$kept = nowhere('signals', @names, '203.0.113.88');
like($kept->{'topic tracking_events_rejected'}, qr/honoured 3/,
    'rejected events are kept without them');

$id = uuid();
is(post('/signals', event('click', {}, %who, event_id => $id),
    'X-Client' => '203.0.113.88'), 204, 'no signal');
my $record = record_of($stack, $id);
is($record->{json}{user_id}, $names[0], 'nothing is dropped');
is($record->{json}{ip}, '203.0.113.88', 'nor the address');
$id = uuid();
is(post('/full', event('click', {}, %who, event_id => $id), DNT => 1), 204,
    'a signal that is not honoured');
is(record_of($stack, $id)->{json}{user_id}, $names[0], 'drops nothing');


# --- arguments are in no line of ours ---

$http->get("/pixel?event_type=click&user_id=$names[0]&event_id=wrong&x=%ff");
post("/keys?key=wk_$names[1]", event('click'));
is(scalar(grep { /secret-|wk_/ } ours()), 0,
    'arguments are in no line of ours');

done_testing();
