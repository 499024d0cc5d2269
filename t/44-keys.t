#!/usr/bin/perl

# Write keys: required, optional, off; by header and by argument; the source's
# origins and event types; a revoked key is refused at once; no line of ours
# has one.

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
    error_log %%DIR%%/error.log info;
    limit_req_zone $track_source zone=source:1m rate=1r/m;

    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT2%% http2;
        track_key required;

        location = /track     { track; }
        location = /optional  { track; track_key optional; }
        location = /off       { track; track_key off; }
        location = /cors      { track; track_cors https://a.com https://b.com; }
        location = /pixel     { track_pixel; }
        location = /limited {
            track;
            limit_req zone=source;
            limit_req_status 429;
        }
        location = /other {
            return 200 "<$track_source>";
        }
    }
CONF

my $stack = edge_stack();
$stack->define('click', name => 'string');
$stack->define('order', name => 'string');
$stack->psql(<<'SQL');
    INSERT INTO sources (name, allowed_origins, allowed_event_types) VALUES
        ('web', NULL, NULL),
        ('shop "東"', '{https://a.com,https://*.a.com}', '{click}'),
        ('asleep', NULL, NULL);
    UPDATE sources SET enabled = false WHERE name = 'asleep';
SQL

sub key {
    my ($source) = @_;
    my $key = $stack->psql("SELECT track_create_key('$source', 'a test');");
    chomp $key;
    like($key, qr/^wk_[0-9a-f]{64}$/, "a key of $source");

    return $key;
}

my ($web, $shop, $asleep) = map { key($_) } 'web', 'shop "東"', 'asleep';

my $conf = edge_conf() =~ s/^    server \{.*//msr . $SERVERS;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf)->start();
my $http = Track::HTTP->new($nginx->port);


sub post {
    my ($path, $event, %header) = @_;
    return $http->post($path, $event, %header);
}

sub refused {
    my ($r, $status, $code, $what) = @_;
    is($r->{status}, $status, "$what: $status");
    is($r->{json}{error}{code}, $code, "$what: $code");
    is($r->{header}{'www-authenticate'},
        $status == 401 ? 'X-Track-Key' : undef, "$what: WWW-Authenticate");
}

# Accepted, and of that source, says its record.
sub accepted {
    my ($path, $source, $what, %header) = @_;
    my $id = uuid();
    my $r = post($path, event('click', {}, event_id => $id), %header);
    is($r->{status}, 204, "$what: accepted") or diag($r->{body});
    is(record_of($stack, $id)->{json}{source}, $source, "$what: its source");
}


wait_for(30, 'the key', sub {
    post('/track', event('none'), 'X-Track-Key' => $web)->{status} == 422 });


# --- required ---

my $click = event('click');
accepted('/track', 'web', 'by header', 'X-Track-Key' => $web);
accepted('/track', 'web', 'the header\'s name in lower case',
    'x-track-key' => $web);
accepted("/track?key=$web", 'web', 'by argument');
accepted("/track?a=1&key=$web&b", 'web', 'by argument among others');
accepted("/track?key=$shop", 'web', 'header before argument',
    'X-Track-Key' => $web);
accepted('/track', "shop \"\x{6771}\"", 'a source of any script',
    'X-Track-Key' => $shop);

refused(post('/track', $click), 401, 'missing_key', 'no key');
refused(post('/track?key=', $click), 401, 'missing_key', 'an empty argument');
refused(post("/track?KEY=$web", $click), 401, 'missing_key',
    'an argument of another name');
refused(post('/track', $click, 'X-Track-Key' => ''), 401, 'missing_key',
    'an empty header');
refused(post('/track', $click, 'X-Track-Key' => 'wk_x'), 401, 'unknown_key',
    'a wrong key');
refused(post('/track', $click, 'X-Track-Key' => substr $web, 0, -1), 401,
    'unknown_key', 'a part of a key');
refused(post('/track', $click, 'X-Track-Key' => "${web}0"), 401,
    'unknown_key', 'more than a key');
refused(post('/track', $click, 'X-Track-Key' => $asleep), 401, 'unknown_key',
    'a key of a disabled source');
refused(post("/track?key=$web", $click, 'X-Track-Key' => 'x' x 4000), 401,
    'unknown_key', 'a long one');
refused($http->write("POST /track HTTP/1.1\r\nHost: x\r\nX-Track-Key: $web\r\n"
        . "X-Track-Key: $web\r\nContent-Length: 2\r\n\r\n{}")->read_response(),
    401, 'unknown_key', 'two headers');

$http->write("POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n");
refused($http->read_response(), 401, 'missing_key', 'before the body is read');
$http->write('x' x 20);
accepted('/track', 'web', 'and the connection is kept', 'X-Track-Key' => $web);


# --- optional, off ---

accepted('/optional', undef, 'optional, without');
accepted('/optional', 'web', 'optional, with', 'X-Track-Key' => $web);
refused(post('/optional', $click, 'X-Track-Key' => 'wk_x'), 401, 'unknown_key',
    'optional, wrong');
accepted('/off', undef, 'off: a key means nothing', 'X-Track-Key' => 'wk_x');


# --- event types, origins of a source ---

my $r = post('/track', [event('order'), $click], 'X-Track-Key' => $shop);
is($r->{status}, 200, 'a type that is not for this key');
is_deeply([codes($r)], ['event_type_not_allowed'], 'and the code');
is(post('/track', event('order'), 'X-Track-Key' => $web)->{status}, 204,
    'which is for another');

for (['https://a.com', 204], ['https://x.a.com', 204], ['https://b.com', 403],
     ['http://localhost', 403], ['null', 403], [undef, 204])
{
    my ($origin, $status) = @$_;
    for my $path ('/track', '/cors') {
        my $what = ($origin // 'no Origin') . " to $path";
        $status = 403 if $path eq '/cors' && ($origin // '') =~ /x.a.com/;
        $r = post($path, $click, 'X-Track-Key' => $shop, Origin => $origin);
        is($r->{status}, $status, "$what: $status");
        is($r->{json}{error}{code}, 'origin_not_allowed', "$what: the code")
            if $status == 403;
    }
}

$r = post('/cors', $click, 'X-Track-Key' => $shop, Origin => 'https://b.com');
is($r->{header}{'access-control-allow-origin'}, 'https://b.com',
    'a page that only the source refuses may read why');
is($http->write($http->request('/cors', '', ':method' => 'OPTIONS',
        Origin => 'https://b.com', 'Access-Control-Request-Method' => 'POST'))
    ->read_response()->{status}, 204, 'a preflight has no key, and needs none');


# --- the pixel ---

is($http->get("/pixel?event_type=click&key=$web")->{status}, 200,
    'a pixel with a key');
is($http->get('/pixel?event_type=click')->{status}, 401, 'a pixel without');


# --- $track_source: requests are limited by source, before bodies are read ---

is(post('/limited', $click, 'X-Track-Key' => $web)->{status}, 204, 'once');
is(post('/limited', $click, 'X-Track-Key' => $web)->{status}, 429,
    'twice is too often');
is(post('/limited', $click, 'X-Track-Key' => $shop)->{status}, 204,
    'not for another source');
is(post('/limited', $click)->{status}, 401, 'no source, no limit: refused')
    for 1 .. 2;
is($http->get("/other?key=$web")->{body}, '<>', 'found nowhere else');


# --- live: revoked, added ---

my $second = key('web');
my $begin = now();
wait_for(20, 'the new key', sub {
    post('/track', $click, 'X-Track-Key' => $second)->{status} == 204 });
cmp_ok(now() - $begin, '<', 4, 'a new key works at once');

$begin = now();
$stack->psql("SELECT track_revoke_key('$second');");
wait_for(20, 'the key to be refused', sub {
    post('/track', $click, 'X-Track-Key' => $second)->{status} == 401 });
cmp_ok(now() - $begin, '<', 4, 'a revoked one is refused at once');
accepted('/track', 'web', 'the others work', 'X-Track-Key' => $web);

# A key that is revoked while the body is on its way.
my $third = key('web');
wait_for(20, 'the third key', sub {
    post('/track', $click, 'X-Track-Key' => $third)->{status} == 204 });
my $slow = Track::HTTP->new($nginx->port);
my $text = $slow->request('/track', json_encode($click),
    'X-Track-Key' => $third);
$slow->write(substr $text, 0, -5);
$stack->psql("SELECT track_revoke_key('$third');");
wait_for(20, 'the third key to be refused', sub {
    post('/track', $click, 'X-Track-Key' => $third)->{status} == 401 });
$slow->write(substr $text, -5);
refused($slow->read_response(), 401, 'unknown_key',
    'a key revoked while the body came');


# --- our lines ---

my @ours = grep { / track: / } split /\n/, $nginx->error_log();
cmp_ok(scalar @ours, '>', 10, 'refusals are logged at "info"');
is_deeply([grep { /wk_/ } @ours], [], 'no line of ours has a key');

done_testing();
