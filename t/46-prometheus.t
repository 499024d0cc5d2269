#!/usr/bin/perl

# track_status prometheus: a strict parser takes it, docs/METRICS.md lists just
# what is in it, its figures are those of track_status json; series by type only
# for types that are defined, a thousand at most, and "other" never goes back.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Prometheus;
use Track::Util;

my $stack = edge_stack();
my %odd = (quotes => 'say "hi"', backslash => 'a\\b', chinese => '點擊',
    other => 'other');
$stack->define($_, n => 'int') for 'click', values %odd;

my $conf = edge_conf() =~ s[(location = /track/status)]
    [location = /metrics { track_status prometheus; }\n        $1]r;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf,
    known => [qr/exited on signal 9/])->start();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);


sub metrics { return prometheus_parse($http->get('/metrics')->{body}) }

# Bytes of a type's name are its UTF-8.
sub events {
    my ($metrics, $type, $verdict) = @_;
    utf8::encode($type);
    return prometheus_value($metrics, 'track_events_total', type => $type,
        verdict => $verdict || 'accepted');
}


# --- the format, and the documentation ---

my $response = $http->get('/metrics');
is($response->{status}, 200, 'GET is answered');
is($response->{header}{'content-type'},
    'text/plain; version=0.0.4; charset=utf-8', 'media type');
my $metrics = eval { prometheus_parse($response->{body}) };
is($@, '', 'a strict parser takes it');

my @documented = slurp(root() . '/docs/METRICS.md')
    =~ /^\| `(track_\w+)` \| (\w+) \| (.*?) \|$/mg;
my @rows;
push @rows, [splice @documented, 0, 3] while @documented;
my %documented = map { $_->[0] => "$_->[1]: $_->[2]" } @rows;
my %found = map { $_->{name} => "$_->{type}: $_->{help}" } values %$metrics;
is_deeply(\%documented, \%found, 'docs/METRICS.md lists just these')
    or diag(join "\n", map { my ($type, $help) = $found{$_} =~ /^(\w+): (.*)/;
        "| `$_` | $type | $help |" } sort keys %found);

is($http->write($http->request('/metrics', '', ':method' => 'HEAD',
    'Content-Type' => undef, 'Content-Length' => undef))
    ->read_response('HEAD')->{status}, 200, 'HEAD');
is($http->post('/metrics', '')->{status}, 405, 'POST: 405');


# --- figures ---

my $acked = sub {
    my ($le) = @_;
    return prometheus_value(metrics(), 'track_ack_seconds_' . ($le
        ? 'bucket' : 'count'), ack => 'kafka', $le ? (le => $le) : ());
};
my $before = $acked->();
$http->post('/track', event('click', { n => 1 })) for 1 .. 3;
$http->post('/track', [event('click', { n => 'x' }), event('click'),
    event('nope'), 'x']);
$metrics = metrics();
my $status = $nginx->status();

is(events($metrics, 'click'), 4, 'events accepted of a type');
is(events($metrics, 'click', 'rejected'), 1, 'events rejected of a type');
cmp_ok(events($metrics, 'other', 'rejected'), '>=', 2,
    'types that are not defined are "other"');
is(events($metrics, 'nope', 'rejected'), undef, 'and have no series');
is(prometheus_value($metrics, 'track_errors_total', code => 'wrong_type'), 1,
    'errors by code');
is(prometheus_value($metrics, 'track_requests_total'),
    $status->{counters}{requests}, 'requests as in JSON');
is(prometheus_value($metrics, 'track_answers_total', class => '2xx'),
    $status->{counters}{answers_2xx}, 'answers as in JSON');
is(prometheus_value($metrics, 'track_workers'), 2, 'two workers');
cmp_ok(prometheus_value($metrics, 'track_kafka_up'), '>=', 1,
    'whoever has sent reaches Kafka');
is(prometheus_value($metrics, 'track_postgres_up'), 1, 'PostgreSQL is up');
is(prometheus_value($metrics, 'track_leader'), 1, 'one leads');
is(prometheus_value($metrics, 'track_schema_number'),
    $status->{schema}{number}, 'number of the schema');
is(prometheus_value($metrics, 'track_schema_info',
    version => $status->{schema}{version}), 1, 'its version');
is($acked->(), $before + 4, 'four requests were acknowledged by Kafka');
is($acked->('10.000'), $before + 4, 'within ten seconds');


# --- names of types ---

my $other = events($metrics, 'other') || 0;
$http->post('/track', event($_, { n => 1 })) for values %odd;
$metrics = metrics();
is(events($metrics, $odd{$_}), 1, "a name with $_")
    for grep { $_ ne 'other' } keys %odd;
is(events($metrics, 'other'), $other + 1,
    'a type called "other" is counted there');


# --- a type that is gone ---

my $id = $stack->psql("SELECT id FROM event_types WHERE name = 'click';");
chomp $id;
$stack->psql("DELETE FROM event_types WHERE id = '$id';");
wait_verdict($nginx, 'unknown_event_type', 'click');
$other = events($metrics, 'other');
$metrics = metrics();
is(events($metrics, 'click'), undef, 'a type no longer defined has no series');
is(events($metrics, 'other'), $other + 4, 'what it counted is "other"');

$stack->define('click', n => 'int');
wait_verdict($nginx, '', 'click');
$http->post('/track', event('click', { n => 1 }));
$metrics = metrics();
is(events($metrics, 'click'), 1, 'defined again it begins again');
is(events($metrics, 'other'), $other + 4, 'and "other" does not go back');


# --- a thousand at most ---

my $all = sub {
    my ($metrics) = @_;
    my $sum = 0;
    $sum += $_->{value} for @{ $metrics->{track_events_total}{samples} };
    return $sum;
};

$stack->psql("INSERT INTO event_types (name)
    SELECT 'many_' || i FROM generate_series(1, 1200) AS i;");
wait_verdict($nginx, '', 'many_1200');
$before = $all->(metrics());
for my $from (0 .. 5) {
    $http->post('/track', [map { event("many_$_") }
        $from * 200 + 1 .. $from * 200 + 200]);
}
$metrics = metrics();
is(scalar @{ $metrics->{track_events_total}{samples} }, 1000,
    'a thousand series');
is($all->($metrics), $before + 1200, 'and every event is in one of them');
is(scalar @{ $nginx->status()->{events} }, 1000, 'in JSON, too');

$stack->psql("DELETE FROM event_types WHERE name LIKE 'many\\_%';");
wait_verdict($nginx, 'unknown_event_type', 'many_1200');
$other = events($metrics, 'other');
my $left = grep { $_->{labels}{type} !~ /^(?:many_.*|other)$/ }
    @{ $metrics->{track_events_total}{samples} };
$metrics = metrics();
is(scalar @{ $metrics->{track_events_total}{samples} }, $left + 2,
    'when they are gone, so are their series');
cmp_ok($all->($metrics), '>=', $before + 1200, 'and their events are "other"');

$http->post('/track', event('click', { n => 1 }));
is(events(metrics(), 'click'), 2, 'the others count on');


# --- gauges are of living workers only ---

kill 'KILL', ($nginx->workers())[0];
wait_for(10, 'another worker', sub { my @w = $nginx->workers(); @w == 2 });
$http = Track::HTTP->new($nginx->port);
wait_for(10, 'two workers', sub {
    prometheus_value(eval { metrics() } || {}, 'track_workers') == 2 });
is($all->(metrics()) >= $before + 1201, 1, 'a killed worker takes no count along');

done_testing();
