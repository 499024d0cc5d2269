#!/usr/bin/perl

# The variables, in log_format, map and limit_req: every result a request can
# have, also of clients that left and after an internal redirect.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

my $SERVERS = <<'CONF';
    log_format verdict '$http_x_mark $request_method $uri $status result=$track_result'
        ' events=$track_events rejected=$track_rejected'
        ' time=$track_ack_time ip=$track_ip source=$track_source mapped=$bad';

    map $track_result $bad {
        default   other;
        ""        none;
        accepted  no;
        ~^(partial|rejected)$  yes;
    }

    limit_req_zone $track_source zone=source:1m rate=1r/m;
    limit_req_zone $track_ip zone=ip:1m rate=1r/m;
    limit_req_status 429;
    client_max_body_size 2k;

    real_ip_header X-Client;

    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT2%% http2;
        set_real_ip_from 127.0.0.1;
        access_log %%DIR%%/access.log verdict;

        location = /track     { track; }
        location = /optional  { track; track_key optional; }
        location = /pixel     { track_pixel; }
        location = /truncated { track; track_ip truncated; }
        location = /no-ip     { track; track_ip off; }
        location = /signals   { track; track_honor_privacy_signals on; }
        location = /denied    { track; deny all; }

        location = /limited {
            track;
            track_key optional;
            limit_req zone=source;
            error_page 429 /page;
        }
        location = /by-net {
            track;
            track_ip truncated;
            limit_req zone=ip;
        }
        location = /large {
            track;
            track_ip truncated;
            error_page 413 /page;
        }
        location = /page      { return 200 "page"; }
        location = /elsewhere { track_ip truncated; return 200 "x"; }
    }

    server {
        listen 127.0.0.1:%%PORT%%;
        server_name early;

        location = /track {
            track;
            track_key optional;
            set $early "$track_source, $track_ip";
            set_real_ip_from 127.0.0.1;
        }
    }
CONF

my $stack = edge_stack();
$stack->define('click', name => 'string');
$stack->psql("INSERT INTO sources (name) VALUES ('web');");
my $key = $stack->psql("SELECT track_create_key('web');") =~ s/\n//r;

my $conf = edge_conf() =~ s/^    server \{.*//msr . $SERVERS;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf)->start();
wait_schema($nginx);
wait_for(10, 'the key', sub {
    Track::HTTP->new($nginx->port)->post('/optional', event('none'),
        'X-Track-Key' => $key)->{status} == 422 });
my $http = Track::HTTP->new($nginx->port);
my $log = $nginx->dir . '/access.log';
my $click = event('click');


# The line of the access log that a request leaves: a hash.  nginx writes it when
# the client has its answer already, so each request has a mark, by which its
# line is known; the preparing ones above have none.
my $mark;
my $marks = 0;

sub line {
    my ($ask) = @_;
    $mark = 'm' . ++$marks;
    $ask->();

    my $last = wait_for(20, 'a line in the access log', sub {
        my @found = slurp($log) =~ /^(?:$mark) (.*)\n/mg;
        return $found[0];
    });
    my ($method, $uri, $status, @pairs) = split / /, $last;

    return { method => $method, uri => $uri, status => $status,
             map { split /=/, $_, 2 } @pairs };
}

sub logged {
    my ($what, $want, $ask) = @_;
    my $got = line($ask);
    is($got->{$_}, $want->{$_}, "$what: $_") for sort keys %$want;

    return $got;
}

sub post {
    my @arguments = @_;
    return sub { $http->post(@arguments, 'X-Mark' => $mark) };
}

sub get {
    my ($path) = @_;
    return sub { $http->write($http->request($path, '', ':method' => 'GET',
        'X-Mark' => $mark))->read_response() };
}


# --- results ---

my $got = logged('accepted', { status => 204, result => 'accepted', events => 1,
    rejected => 0, ip => '127.0.0.1', source => '-', mapped => 'no' },
    post('/track', $click));
like($got->{time}, qr/^\d\.\d{3}$/, 'accepted: time');

logged('partial', { status => 200, result => 'partial', events => 3,
    rejected => 1, mapped => 'yes' },
    post('/track', [$click, event('nope'), $click]));
logged('rejected', { status => 422, result => 'rejected', events => 2,
    rejected => 2, mapped => 'yes' },
    post('/track', [event('nope'), event('nope')]));
logged('a pixel', { status => 200, result => 'accepted', events => 1 },
    get('/pixel?event_type=click'));

my %none = (events => '-', rejected => '-', time => '-');
$got = logged('malformed', { status => 400, result => 'malformed_json',
    events => '-', mapped => 'other', ip => '127.0.0.1' },
    post('/track', '{'));
like($got->{time}, qr/^\d\.\d{3}$/, 'malformed: kept before the answer');
logged('a media type', { status => 415, result => 'unsupported_media_type',
    %none }, post('/track', $click, 'Content-Type' => 'text/html'));
logged('a wrong key', { status => 401, result => 'unknown_key', %none,
    source => '-' }, post('/optional', $click, 'X-Track-Key' => 'wk_1'));
logged('GET', { status => 405, result => '-', %none, mapped => 'none' },
    get('/track'));
logged('denied by nginx', { status => 403, result => '-', %none,
    ip => '127.0.0.1' }, post('/denied', $click));
logged('another location', { status => 200, result => '-', %none,
    source => '-', ip => '127.0.0.0', mapped => 'none' },
    get("/elsewhere?key=$key"));


# --- the source, and limits by it ---

logged('with a key', { status => 204, source => 'web' },
    post('/optional', $click, 'X-Track-Key' => $key));
logged('a limit', { status => 204, source => 'web' },
    post("/limited?key=$key", $click));
logged('over it, on an error page', { uri => '/page', status => 429,
    source => 'web', result => '-' }, post("/limited?key=$key", $click));


# --- addresses ---

my %ip = (
    '203.0.113.77'              => '203.0.113.0',
    '::ffff:203.0.113.77'       => '203.0.113.0',
    '2001:db8:1:2::77'          => '2001:db8:1::',
);
for my $client (sort keys %ip) {
    my %header = ('X-Client' => $client);
    logged("$client, truncated", { status => 204, ip => $ip{$client} },
        post('/truncated', $click, %header));
    logged("$client, off", { status => 204, ip => '-' },
        post('/no-ip', $click, %header));
    logged("$client, full", { status => 204, ip => $client =~ s/^::ffff://r },
        post('/track', $click, %header));
    logged("$client, 413 on an error page",
        { uri => '/page', status => 413, ip => $ip{$client} },
        post('/large?x=1', 'x' x 3000, %header));
    $http->close();
}

my %client = ('X-Client' => '203.0.113.77');
my $id = uuid();
is($http->post('/track', event('click', {}, event_id => $id), %client,
    'X-Track-Key' => $key, Host => 'early')->{status}, 204,
    'variables asked before realip has set the address');
is_deeply([@{ record_of($stack, $id)->{json} }{qw(ip source)}],
    ['203.0.113.77', 'web'], 'do not keep the other one');
logged('no signal', { status => 204, ip => '203.0.113.77' },
    post('/signals', $click, %client, DNT => 0));
logged($_, { status => 204, ip => '-' },
    post('/signals', $click, %client, $_ => 1)) for 'DNT', 'Sec-GPC';
logged('a signal that is not honoured', { status => 204, ip => '203.0.113.77' },
    post('/track', $click, %client, DNT => 1));

logged('a net', { status => 204 },
    post('/by-net', $click, 'X-Client' => '198.51.100.1'));
logged('its neighbour', { status => 429, ip => '198.51.100.0' },
    post('/by-net', $click, 'X-Client' => '198.51.100.200'));
logged('another net', { status => 204 },
    post('/by-net', $click, 'X-Client' => '198.51.101.1'));


# --- HTTP/2; what nginx refuses before it knows a location ---

logged('HTTP/2', { status => 204, result => 'accepted', ip => '203.0.113.0' },
    sub { run_ok('curl', '-s', '--http2-prior-knowledge', '-H',
        'X-Client: 203.0.113.77', '-H', "X-Mark: $mark", '-d', json_encode($click), '-H',
        'Content-Type: application/json',
        'http://127.0.0.1:' . $nginx->port2 . '/truncated') });

for my $bad ("nonsense\r\n\r\n", "POST /track HTTP/1.1\r\n\r\n",
    "POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n")
{
    my $raw = Track::HTTP->new($nginx->port);
    logged(($bad =~ /(.*)\r\n\r\n/s)[0] =~ s/\s+/ /gr,
        { status => 400, result => '-', %none, ip => '127.0.0.1' },
        sub {
            $mark = '-(?= \S* \S* 400 )' if $bad !~ /HTTP/;
            $raw->write($bad =~ s/(HTTP.*\r\n)/$1X-Mark: $mark\r\n/r);
        });
}


# --- Kafka hangs: refused, and a client that leaves ---

$stack->signal('kafka', 'STOP');
$got = logged('Kafka away', { status => 503, result => 'unavailable',
    events => 1, rejected => 0 }, post('/track', $click));
is($got->{time}, '-', 'Kafka away: never acknowledged');

my $leaver = Track::HTTP->new($nginx->port);
$got = logged('a client that leaves', { status => 499,
    result => 'unanswered', events => 1, time => '-' }, sub {
    $leaver->write($leaver->request('/track', json_encode($click),
        'X-Mark' => $mark));
    $leaver->close();
});
$stack->signal('kafka', 'CONT');

done_testing();
