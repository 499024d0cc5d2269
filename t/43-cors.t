#!/usr/bin/perl

# Pages of other origins: who of them may send, preflights, and that every
# answer of a location says so, nginx's own errors, error pages and redirects
# included.

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
    limit_req_zone $http_x_limited zone=limit:1m rate=1r/m;
    limit_req_status 429;
    client_max_body_size 2k;

    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT2%% http2;
        track_cors https://shop.example.com https://*.example.org
                   http://[::1]:8080 null;

        location = /track {
            track;
            limit_req zone=limit;
        }

        location = /any {
            track;
            track_cors *;
        }

        location = /off {
            track;
            track_cors off;
        }

        location = /pixel {
            track_pixel;
        }

        location = /with-pages {
            track;
            limit_req zone=limit;
            error_page 413 /pages/large;
            error_page 429 @often;
            error_page 403 405 = /pages/other;
        }

        location /below/ {
            track;
            error_page 413 /pages/large;
            error_page 405 = /pages/other;

            location /below/inner {
                error_page 413 /pages/large;
                client_max_body_size 1k;
            }
        }

        location /below/beside/ {
            error_page 413 /pages/large;
        }

        location = /denied {
            deny all;
            track;
        }

        location = /if {
            track;

            if ($http_x_flag) {
                set $flag 1;
            }
        }

        location = /own {
            limit_req zone=limit;
            add_header Retry-After 77 always;
            track;
        }

        location /outer {
            track;

            location /outer/inner {
                return 200 "inner";
            }
        }

        rewrite ^/below/moved$ /pages/moved last;

        location = /rewritten {
            rewrite ^ /track last;
        }

        location /pages/ {
            return 200 "a page";
        }

        location = /track/status {
            track_status;
        }

        location @often {
            return 429 "too often";
        }

        location / {
            return 503;
        }
    }
CONF

my $MAIN = edge_conf();
$MAIN =~ s/^    server \{.*//ms;

my $stack = edge_stack();
$stack->define('click', name => 'string');
my $nginx = Track::Nginx->new(stack => $stack, http => $MAIN . $SERVERS)
    ->start();
wait_for(10, 'a schema', sub {
    my $r = Track::HTTP->new($nginx->port)->post('/off', event('none'));
    return $r->{status} == 422;
});

my $http = Track::HTTP->new($nginx->port);
my $good = json_encode(event('click', { name => 'a' }));
my $shop = 'https://shop.example.com';


# ask('POST', '/track', $body, header => value...)
sub ask {
    my ($method, $path, $body, %header) = @_;
    my $text = $http->request($path, $body // '', ':method' => $method,
        defined $body ? () : ('Content-Type' => undef), %header);
    return $http->write($text)->read_response($method);
}

sub readable {
    my ($r, $origin, $what) = @_;
    is($r->{header}{'access-control-allow-origin'}, $origin,
        "$what: " . ($origin // 'no page of another origin') . ' may read it');
    is($r->{header}{'access-control-expose-headers'},
        defined $origin ? 'Date, Retry-After, X-Track-Ack' : undef,
        "$what: and what of it");
    like($r->{header}{vary} // '', qr/\bOrigin\b/, "$what: varies by Origin");
    is($r->{header}{'access-control-allow-credentials'}, undef,
        "$what: never with credentials");
}


# --- who may send ---

for ([$shop, 204], ['HTTPS://Shop.Example.COM:443', 204],
     ['https://www.example.org', 204], ['https://a.b.example.org', 204],
     ['http://[0:0::1]:8080', 204], ['null', 204],
     ['http://localhost', 204, 'the request\'s own host'],
     ['http://shop.example.com', 403], ['https://shop.example.com:8443', 403],
     ['https://example.org', 403], ['https://evilexample.org', 403],
     ['https://www.example.org.evil.net', 403], ['http://localhost:81', 403],
     ['https://shop.example.com/', 403], ['*', 403], ['nonsense', 403])
{
    my ($origin, $status, $why) = @$_;
    my $what = "Origin $origin" . ($why ? " ($why)" : '');
    my $r = ask('POST', '/track', $good, Origin => $origin);
    is($r->{status}, $status, "$what: $status");
    readable($r, $status == 204 ? $origin : undef, $what);
    is($r->{json}{error}{code}, 'origin_not_allowed', "$what: the code")
        if $status == 403;
}

my $r = ask('POST', '/track', $good);
is($r->{status}, 204, 'no Origin');
readable($r, undef, 'no Origin');

$r = ask('POST', '/track', $good, Origin => 'http://localhost:8123',
    Host => 'localhost:8123');
is($r->{status}, 204, 'Origin with the port of the Host');

$r = $http->write("POST /track HTTP/1.1\r\nHost: localhost\r\nOrigin: $shop\r\n"
    . "origin: https://evil.net\r\nContent-Length: 2\r\n\r\n{}")
    ->read_response();
is($r->{status}, 403, 'two Origins are none');
readable($r, undef, 'two Origins');

# The answer comes before the body does, and the connection is kept.
$http->write("POST /track HTTP/1.1\r\nHost: localhost\r\n"
    . "Origin: https://evil.net\r\nContent-Length: " . length($good)
    . "\r\n\r\n");
$r = $http->read_response();
is($r->{status}, 403, 'refused before the body is read');
$http->write($good);
is(ask('POST', '/track', $good)->{status}, 204, 'and the connection is kept');


# --- "*", off ---

$r = ask('POST', '/any', $good, Origin => 'https://anyone.net');
is($r->{status}, 204, '"*" lets anyone in');
readable($r, '*', '"*"');
readable(ask('POST', '/any', $good), '*', '"*", no Origin');
is(ask('POST', '/any', $good, Origin => 'null')->{status}, 204, 'null, too');

$r = ask('POST', '/off', $good, Origin => 'https://anyone.net');
is($r->{status}, 204, 'off checks nothing');
is_deeply([grep { /^(access-control|vary)/ } keys %{ $r->{header} }], [],
    'and sends nothing');
is(ask('OPTIONS', '/off', undef, Origin => $shop,
    'Access-Control-Request-Method' => 'POST')
    ->{header}{'access-control-allow-methods'}, undef,
    'nor does it answer preflights');


# --- preflights ---

for (['/track', 'POST'], ['/any', 'POST'], ['/pixel', 'GET, HEAD']) {
    my ($path, $methods) = @$_;
    $r = ask('OPTIONS', $path, undef, Origin => $shop,
        'Access-Control-Request-Method' => 'POST',
        'Access-Control-Request-Headers' => 'content-encoding,x-track-key');
    is($r->{status}, 204, "$path: a preflight");
    readable($r, $path eq '/any' ? '*' : $shop, "$path: a preflight");
    is($r->{header}{'access-control-allow-methods'}, $methods,
        "$path: its methods");
    is($r->{header}{'access-control-allow-headers'},
        'Content-Type, Content-Encoding, X-Track-Key', "$path: its headers");
    cmp_ok($r->{header}{'access-control-max-age'}, '>=', 7200,
        "$path: it is kept as long as Chromium keeps one");
    ok($r->{keep}, "$path: the connection is kept");
}

is($nginx->status()->{counters}{preflights}, 3, 'preflights are counted');

$r = ask('OPTIONS', '/track', undef, Origin => 'https://evil.net',
    'Access-Control-Request-Method' => 'POST');
is($r->{status}, 403, 'a preflight of who may not send');
readable($r, undef, 'a preflight of who may not send');
is($r->{header}{'access-control-allow-methods'}, undef, 'says nothing');

$r = ask('OPTIONS', '/track');
is($r->{status}, 204, 'OPTIONS that is no preflight');
is($r->{header}{allow}, 'POST, OPTIONS', 'says what is allowed');
is($r->{header}{'access-control-allow-methods'}, undef, 'and no more');
is(ask('OPTIONS', '/pixel')->{header}{allow}, 'GET, HEAD, OPTIONS',
    'of a pixel, too');
is(ask('OPTIONS', '/track', '{"x":1}', Origin => $shop)->{status}, 204,
    'OPTIONS with a body');
is(ask('POST', '/track', $good)->{status}, 204, 'which is not taken for more');


# --- errors of ours and of nginx ---

for (['415', ask('POST', '/track', $good, Origin => $shop,
                 'Content-Type' => 'text/html')],
     ['400', ask('POST', '/track', '{', Origin => $shop)],
     ['422', ask('POST', '/track', json_encode(event('nope')),
                 Origin => $shop)],
     ['405', ask('GET', '/track', undef, Origin => $shop)],
     ['405', ask('HEAD', '/track', undef, Origin => $shop)],
     ['403', ask('POST', '/denied', $good, Origin => $shop)],
     ['413', ask('POST', '/track', 'x' x 3000, Origin => $shop)],
     ['204', ask('POST', '/if', $good, Origin => $shop, 'X-Flag' => 1)],
     ['204', ask('POST', '/rewritten', $good, Origin => $shop)])
{
    my ($status, $response) = @$_;
    is($response->{status}, $status, "status $status");
    readable($response, $shop, "status $status");
}

$r = $http->write($http->chunked_request('/track', 'x' x 3000)
    =~ s/\r\n/\r\nOrigin: $shop\r\n/r)->read_response();
is($r->{status}, 413, '413 of a chunked body');
readable($r, $shop, '413 of a chunked body');
$http->close();

ask('POST', '/track', $good, 'X-Limited' => 'a');
$r = ask('POST', '/track', $good, 'X-Limited' => 'a', Origin => $shop);
is($r->{status}, 429, 'nginx\'s own 429');
readable($r, $shop, 'nginx\'s own 429');
is($r->{header}{'retry-after'}, 5, 'which says when to come again');

ask('POST', '/own', $good, 'X-Limited' => 'own');
$r = ask('POST', '/own', $good, 'X-Limited' => 'own');
is($r->{status}, 429, '429 with a time of the operator');
is($r->{header}{'retry-after'}, '77', 'which is left alone');


# --- error_page, internal redirect ---

$r = ask('POST', '/with-pages?a=1', 'x' x 3000, Origin => $shop);
is($r->{status}, 413, 'error_page of a 413');
is($r->{body}, 'a page', 'is the page');
readable($r, $shop, 'error_page of a 413');
$http->close();

# By the longest prefix, as nginx chooses.
for (['/below/', $shop], ['/below/x/y?a=/below/beside/', $shop],
     ['/below/inner', 0], ['/below/innermost', 0], ['/below/beside/x', 0],
     ['/below/besides', $shop])
{
    my ($path, $origin) = @$_;
    $r = ask('POST', $path, 'x' x 3000, Origin => $shop);
    is("$r->{status} $r->{body}", '413 a page', "$path: error_page of a 413");
    is($r->{header}{'access-control-allow-origin'} // 0, $origin,
        "$path: " . ($origin ? 'a page may read it' : 'not ours'));
    $http->close();
}
readable(ask('GET', '/below/x', undef, Origin => $shop), $shop,
    '/below/x, error_page of a 405');

ask('POST', '/with-pages', $good, 'X-Limited' => 'b');
$r = ask('POST', '/with-pages', $good, 'X-Limited' => 'b', Origin => $shop);
is($r->{status}, 429, 'error_page of a 429, a named location');
is($r->{body}, 'too often', 'is the page');
readable($r, $shop, 'error_page of a 429');
is($r->{header}{'retry-after'}, 5, 'and when to come again');

$r = ask('GET', '/with-pages', undef, Origin => $shop);
is($r->{status}, 200, 'error_page of a 405');
is($r->{body}, 'a page', 'is the page');
readable($r, $shop, 'error_page of a 405');

$r = ask('POST', '/with-pages', $good, Origin => 'https://evil.net');
is($r->{status}, 403, 'our own answers are not replaced');
readable($r, undef, 'a 403 of ours');


# --- HTTP/2 ---

# The answer's header.  nginx resets the stream after an answer that came before
# the end of the body, and then curl 7.88 often loses the answer.
sub http2 {
    my ($body, @options) = @_;
    my $header = '';
    spit($nginx->dir . '/sent', $body);

    for (1 .. 30) {
        $header ||= run('curl', '-s', '-o', '/dev/null', '-D', '-',
            '--http2-prior-knowledge', '--data-binary',
            '@' . $nginx->dir . '/sent', '-H', "Origin: $shop", '-H',
            'Content-Type: text/plain', @options,
            'http://127.0.0.1:' . $nginx->port2 . '/track')->{out};
    }

    return $header;
}

for ([204, $good], [413, 'x' x 3000],
     [204, '', '-X', 'OPTIONS', '-H', 'Access-Control-Request-Method: POST'])
{
    my ($status, @arguments) = @$_;
    my $header = http2(@arguments);
    like($header, qr{^HTTP/2 $status\b}, "HTTP/2: $status");
    like($header, qr/^access-control-allow-origin: \Q$shop\E\r$/m,
        'which a page may read');
}


# --- what is not ours stays as it is ---

for (['/outer/inner', 200], ['/elsewhere', 503], ['/pages/x', 200],
     ['/below/moved', 200])
{
    my ($path, $status) = @$_;
    $r = ask('GET', $path, undef, Origin => $shop);
    is($r->{status}, $status, "$path: $status");
    is_deeply([grep { /^(access-control|vary|retry-after)/ }
        keys %{ $r->{header} }], [], "$path: no header of ours");
}
readable(ask('POST', '/outer', $good, Origin => $shop), $shop, '/outer');


# --- nothing of a refused request was kept ---

my %seen = map { $_ => 1 } map { json_decode($_->{value})->{event_type} }
    kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events');
is_deeply(\%seen, { click => 1 }, 'only what was accepted is in Kafka');


# --- configurations that are refused ---

my $bad = Track::Nginx->new(stack => $stack, known => [qr/invalid origin/],
    http => $MAIN . $SERVERS);

for (['https://shop.example.com/', 'a path'], ['shop.example.com', 'no scheme'],
     ['https://*.example.com https://*', 'a star alone for a host'],
     ['* https://shop.example.com', '"*" beside others'],
     ['off null', '"off" beside others'])
{
    my ($value, $why) = @$_;
    $bad->configure($MAIN . "    track_cors $value;\n" . $SERVERS);
    my $run = $bad->check();
    isnt($run->{rc}, 0, "track_cors with $why");
    like($run->{err}, qr/invalid origin/, 'is named');
}

done_testing();
