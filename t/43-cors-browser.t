#!/usr/bin/perl

# What a page of another origin sees in a real browser: it reads every answer,
# nginx's own 413 and 429 with their Retry-After included; a preflight is kept;
# beacons, text/plain and gzip need none.

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

my $SERVERS = <<'CONF';
    log_format methods "$request_method $uri $status $track_result";
    limit_req_zone $server_port zone=limit:1m rate=1r/m;

    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 4k;
        access_log %%DIR%%/access.log methods;
        track_cors http://127.0.0.1:%%PORT2%%;

        location = /track   { track; }
        location = /json    { track; }
        location = /second  { track; }
        location = /unread  { track; track_cors off; }
        location = /pixel   { track_pixel; }
        location = /limited {
            track;
            limit_req zone=limit;
            limit_req_status 429;
        }
    }

    server {
        listen 127.0.0.1:%%PORT2%%;
        listen 127.0.0.1:%%PORT3%%;

        location / {
            default_type text/html;
            return 200 "<!doctype html><title>a page</title>";
        }
    }
CONF

my $PAGE = <<'JS';
    const api = 'http://localhost:%%PORT%%';
    const good = JSON.stringify({ event_type: 'click' });
    const seen = {};

    async function post(name, path, body, headers = {}) {
        try {
            const r = await fetch(api + path, { method: 'POST', body, headers,
                credentials: 'omit' });
            seen[name] = { status: r.status, text: await r.text(),
                retry: r.headers.get('Retry-After'),
                ack: r.headers.get('X-Track-Ack'),
                date: r.headers.get('Date') !== null,
                server: r.headers.get('Server') };
        } catch (error) {
            seen[name] = { error: String(error) };
        }
    }

    const json = { 'Content-Type': 'application/json' };
    const gzip = await new Response(new Blob([good]).stream()
        .pipeThrough(new CompressionStream('gzip'))).arrayBuffer();

    await post('text', '/track', good, { 'Content-Type': 'text/plain' });
    await post('gzip', '/track', new Blob([gzip], { type: 'text/plain' }));
    seen.beacon = navigator.sendBeacon(api + '/track', good);

    await post('json', '/json', good, json);
    await post('json again', '/json', good, json);
    await post('key', '/second', good,
        { ...json, 'X-Track-Key': 'wk_1', 'Content-Encoding': 'identity' });

    await post('rejected', '/track', '{"event_type":"nope"}');
    await post('malformed', '/track', '{');
    await post('large', '/track', 'x'.repeat(5000));
    await post('huge', '/track', 'x'.repeat(5000000));
    await post('once', '/limited', good);
    await post('often', '/limited', good);
    await post('unread', '/unread', good);

    for (const query of ['event_type=click&name=of+a+pixel',
                         'event_type=nope']) {
        seen[query] = await new Promise((resolve) => {
            const image = new Image();
            image.onload = () => resolve(image.width);
            image.onerror = () => resolve('error');
            image.src = `${api}/pixel?${query}`;
        });
    }

    return seen;
JS

my $stack = edge_stack();
$stack->define('click', name => 'string');
my $conf = edge_conf() =~ s/^    server \{.*//msr . $SERVERS;
my $third = $stack->free_port();
my $nginx = Track::Nginx->new(stack => $stack, http => $conf,
    replace => { PORT3 => $third })->start();
wait_schema($nginx);
spit($nginx->dir . '/access.log', '');
$nginx->signal('USR1');

$PAGE =~ s/%%PORT%%/$nginx->port/e;


sub visit {
    my ($port) = @_;
    spit($nginx->dir . '/page.js', $PAGE);
    my $run = run({ timeout => 90 }, 'sh', '-c', 'exec "$0" "$1" < "$2"',
        root() . '/t/lib/page.mjs', "http://127.0.0.1:$port/",
        $nginx->dir . '/page.js');
    is($run->{rc}, 0, 'the page ran') or diag($run->{err});

    return json_decode($run->{out});
}

# Waits until the access log has so many: a line is written when the page has
# its answer already.
sub wait_requests {
    my ($method, $path, $n) = @_;
    eval { wait_for(20, "$n lines", sub { requests($method, $path) >= $n }) };
    return requests($method, $path);
}

# How many requests of that method and path the access log has.
sub requests {
    my ($method, $path) = @_;
    return scalar grep { /^\Q$method $path \E/ }
        split /\n/, slurp($nginx->dir . '/access.log');
}


# --- a page that may send ---

my $seen = visit($nginx->port2);

is($seen->{text}{status}, 204, 'text/plain');
is($seen->{text}{ack}, 'kafka', 'and where it is safe');
is($seen->{gzip}{status}, 204, 'gzip, known by its first bytes');
ok($seen->{beacon}, 'a beacon is sent');
cmp_ok(wait_requests('POST', '/track', 7), '>=', 7, 'all have arrived');
is(requests('OPTIONS', '/track'), 0, 'none of them needs a preflight');

is($seen->{json}{status}, 204, 'application/json');
is($seen->{'json again'}{status}, 204, 'application/json, again');
is(wait_requests('OPTIONS', '/json', 1), 1, 'one preflight serves both');
is($seen->{key}{status}, 204, 'with X-Track-Key and Content-Encoding');
is(wait_requests('OPTIONS', '/second', 1), 1, 'after a preflight');

is($seen->{rejected}{status}, 422, 'a rejected event: 422');
like($seen->{rejected}{text}, qr/"unknown_event_type"/, 'with its reasons');
is($seen->{malformed}{status}, 400, 'no JSON: 400');
like($seen->{malformed}{text}, qr/"malformed_json"/, 'with its reason');

is($seen->{$_}{status}, 413, "too large ($_): nginx's own 413 is read")
    for qw(large huge);
is($seen->{once}{status}, 204, 'once a minute');
is($seen->{often}{status}, 429, "more often: nginx's own 429 is read");
is($seen->{often}{retry}, '5', 'and its Retry-After');
ok($seen->{often}{date}, 'and its Date');
is($seen->{often}{server}, undef, 'and no more');

like($seen->{unread}{error}, qr/Failed to fetch/,
    'without track_cors it is told nothing');

is($seen->{'event_type=click&name=of+a+pixel'}, 1, 'a pixel is loaded');
is($seen->{'event_type=nope'}, 'error', 'and fails if its event is rejected');


# --- a page that may not ---

$seen = visit($third);
like($seen->{$_}{error}, qr/Failed to fetch/, "another page: no $_")
    for 'text', 'json', 'large', 'often';
is(wait_requests('POST', '/json', 2), 2, 'its application/json was stopped before it');
my @denied;
eval { wait_for(20, 'lines', sub {
    @denied = grep { /^POST \/track 403 origin_not_allowed$/ }
        split /\n/, slurp($nginx->dir . '/access.log');
    return @denied >= 4;
}) };
cmp_ok(scalar @denied, '>=', 4, 'what needs no preflight was refused');


# --- what is in Kafka ---

my @records = map { json_decode($_->{value}) }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events');
is(scalar(grep { $_->{event_type} ne 'click' } @records), 0,
    'only what was accepted');
is(scalar(grep { ($_->{fields}{name} || '') eq 'of a pixel' } @records), 2,
    'the pixel of either page: an image needs no leave');

done_testing();
