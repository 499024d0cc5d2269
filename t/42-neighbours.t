#!/usr/bin/perl

# The module among the rest of nginx: two servers with different topics, TLS,
# HTTP/2, realip, a proxy in front and beside, redirects, subrequests, limits of
# access, and filters that change bodies.  Neither hurts the other.

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
    client_max_body_size 1m;
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    gzip_vary on;
    charset utf-8;

    upstream self {
        server 127.0.0.1:%%PORT%%;
        keepalive 4;
    }

    server {
        listen 127.0.0.1:%%PORT%% default_server;
        server_name one;
        track_kafka_topic tracking_events;

        location = /track { track; }

        location = /internal { internal; track; }
        location = /to-named { try_files /nothing @track; }
        location = /to-internal { rewrite ^ /internal last; }
        location = /index { try_files /nothing /internal; }
        location @track { track; }

        default_type text/html;
        location = /auth { auth_request /track; alias %%DIR%%/page.html; }
        location = /mirror { mirror /track; alias %%DIR%%/page.html; }
        location = /ssi { ssi on; alias %%DIR%%/page.html; }
        location = /basic { track; auth_basic "here";
            auth_basic_user_file %%DIR%%/users; }
        location = /except { track; track_cors *;
            limit_except GET { deny all; } }
        location = /except-post { track; limit_except POST { deny all; } }

        location / { return 200 "shop"; }
    }

    server {
        listen 127.0.0.1:%%PORT%%;
        server_name two;
        track_kafka_topic tracking_events_dead;
        track_max_events 1;

        location = /track { track; }
    }

    server {
        listen 127.0.0.1:%%PORT2%% ssl http2;
        server_name front;
        ssl_certificate %%DIR%%/cert.pem;
        ssl_certificate_key %%DIR%%/key.pem;
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Forwarded-For;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /track { track; }

        location = /proxied {
            proxy_pass http://self/track;
            proxy_set_header Host two;
        }

        location = /streamed {
            proxy_pass http://self/track;
            proxy_request_buffering off;
        }

        location = /intercepted {
            proxy_pass http://self/track;
            proxy_intercept_errors on;
            error_page 422 = @fallback;
        }

        location @fallback { return 299 "fallback"; }
        location / { proxy_pass http://self; }
    }
CONF

my $stack = edge_stack();
$stack->define('click', name => 'string');
my $conf = edge_conf() =~ s/^    server \{.*//msr . $SERVERS;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf);

my $dir = $nginx->dir;
spit("$dir/page.html", 'before <!--#include virtual="/track" --> after');
spit("$dir/users", "user:{PLAIN}word\n");
run_ok('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
    'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem");
$nginx->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my $click = event('click', { name => 'x' });

# curl($path, $body, @options): { code, body, version } of a POST by TLS.  nginx
# resets an HTTP/2 stream after an answer that came before the end of the body,
# and then curl 7.88 often loses the answer.
sub curl {
    my ($path, $body, @options) = @_;
    my $run = { rc => 92 };
    spit("$dir/sent", $body);

    for (1 .. 30) {
        last if $run->{rc} != 92;
        $run = run('curl', '-sk', '-w', "\n%{http_version} %{http_code}",
            '-H', 'Content-Type: application/json', '--data-binary',
            "\@$dir/sent", @options,
            'https://127.0.0.1:' . $nginx->port2 . $path);
    }
    my ($text, $version, $code) = $run->{out} =~ /^(.*)\n(\S+) (\d+)\s*$/s;

    return { body => $text, version => $version, code => $code };
}

sub has_record {
    my ($id, $topic, $what) = @_;
    my $record = record_of($stack, $id, $topic);
    is($record->{json}{event_id}, $id, "$what: in $topic");

    return $record->{json};
}


# --- two servers, two topics ---

for (['one', 'tracking_events'], ['two', 'tracking_events_dead']) {
    my ($host, $topic) = @$_;
    my $id = uuid();
    is($http->post('/track', event('click', {}, event_id => $id),
        Host => $host)->{status}, 204, "server $host");
    has_record($id, $topic, "server $host");
}
is($http->post('/track', [$click, $click], Host => 'two')->{status}, 413,
    'its own limits, too');
is($http->post('/track', [$click, $click], Host => 'one')->{status}, 204,
    'and not the other\'s');


# --- TLS, HTTP/2, realip ---

for (['--http1.1', '1.1'], ['--http2', '2']) {
    my ($option, $version) = @$_;
    my $id = uuid();
    my $r = curl('/track', json_encode(event('click', {}, event_id => $id)),
        $option, '-H', 'X-Forwarded-For: 2001:db8::7');
    is($r->{code}, 204, "TLS $option");
    is($r->{version}, $version, "TLS $option: version");
    is(has_record($id, 'tracking_events', "TLS $option")->{ip}, '2001:db8::7',
        "TLS $option: realip's address");
}

my $large = json_encode([map { event('click', { name => 'x' x 1000 }) }
    1 .. 300]);
is(curl('/track', $large, '--http2')->{code}, 204, 'a large body by HTTP/2');
is(curl('/track', 'x' x 1_200_000, '--http2')->{code}, 413,
    'one that is too large');


# --- a proxy in front and beside ---

for my $path ('/proxied', '/streamed') {
    my $id = uuid();
    my $r = curl($path, json_encode(event('click', {}, event_id => $id)));
    is($r->{code}, 204, "$path: accepted");
    has_record($id, $path eq '/proxied' ? 'tracking_events_dead'
                                        : 'tracking_events', $path);
}
is(curl('/streamed', $large, '--limit-rate', '2M')->{code}, 204,
    'a large body streamed through');
my $r = curl('/intercepted', json_encode(event('nope')));
is("$r->{code} $r->{body}", '299 fallback', 'an intercepted answer');
is(curl('/other', '{}')->{body}, 'shop', 'the other locations are served');


# --- redirects within ---

for my $path ('/to-named', '/to-internal', '/index') {
    my $id = uuid();
    is($http->post($path, event('click', {}, event_id => $id))->{status}, 204,
        "$path: accepted");
    has_record($id, 'tracking_events', $path);
}
is($http->post('/internal', $click)->{status}, 404, 'internal stays internal');


# --- subrequests ---

is($http->get('/auth')->{status}, 500, 'auth_request cannot ask us');
is($http->get('/mirror')->{status}, 200, 'a mirror does no harm');
$r = $http->get('/ssi');
is($r->{status}, 200, 'a page that includes the endpoint');
like($r->{body}, qr/^before .* after$/s, 'is whole');


# --- access ---

$r = $http->post('/basic', $click);
is($r->{status}, 401, 'auth_basic');
is($r->{header}{'www-authenticate'}, 'Basic realm="here"',
    'asks for what it wants');
is($http->post('/basic', $click, Authorization => 'Basic dXNlcjp3b3Jk')
    ->{status}, 204, 'and lets in');
$r = $http->post('/except', $click, Origin => 'https://a.com');
is($r->{status}, 403, 'limit_except');
is($r->{header}{'access-control-allow-origin'}, '*', 'a page may read that');
is($http->post('/except-post', $click)->{status}, 204, 'limit_except POST');
is($http->get('/except-post')->{status}, 403, 'of another method');


# --- filters ---

$r = curl('/track', json_encode([$click, event('nope')]), '--compressed',
    '-D', "$dir/head");
is($r->{code}, 200, 'an answer of ours');
like(slurp("$dir/head"), qr/^content-encoding: gzip/mi, 'is compressed');
is(json_decode($r->{body})->{accepted}, 1, 'by nginx');
$r = $http->post('/track', event('nope'));
is($r->{json}{rejected}[0]{errors}[0]{code}, 'unknown_event_type',
    'and one that is not can be read');


# --- neither hurts the other ---

my @clients = map { Track::HTTP->new($nginx->port) } 1 .. 40;
$_->write($_->request('/track', json_encode($click))) for @clients;
my $shop = Track::HTTP->new($nginx->port);
is($shop->get('/')->{body}, 'shop', 'a page while events are under way');
is_deeply([map { $_->read_response()->{status} } @clients], [(204) x 40],
    'all of which are accepted');

cmp_ok($nginx->log_count(qr/a subrequest has no body of its own/), '>=', 2,
    'subrequests are named in the log');
is($nginx->log_count(qr/a subrequest has no body of its own.*client:/), 0,
    'but not their clients: of privacy nothing is known there');

done_testing();
