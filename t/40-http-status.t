#!/usr/bin/perl

# track_status: every request and event is counted once, under what became of
# it; schema, leader and workers are told; over reloads and killed workers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(
    'track_ack_timeout 2s;'), known => [qr/exited on signal 9/])->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my $good = event('click', { name => 'a' });


# What a piece of work adds to the counters; zeros are left out, and what goes on
# by itself: beats of the ledger, and Kafka's reports of them.
sub counted {
    my ($code) = @_;
    my $before = flat($nginx->status()->{counters});
    $code->();
    my $after = flat($nginx->status()->{counters});

    return { map { my $n = $after->{$_} - ($before->{$_} || 0);
        $n ? ($_ => $n) : () } grep { !/^(?:ledger|kafka)_/ } keys %$after };
}

sub flat {
    my ($counters) = @_;
    my %errors = %{ $counters->{errors} };

    return { %$counters, errors => 0, map { ("error $_" => $errors{$_}) }
        keys %errors };
}


is_deeply(counted(sub { $http->post('/track', $good) for 1 .. 5 }),
    { requests => 5, events_accepted => 5, events_acked => 5,
      answers_2xx => 5 }, 'five accepted events');

is_deeply(counted(sub { $http->post('/track', [$good, $good, event('click'),
    event('nope'), 'x']) }),
    { requests => 1, events_accepted => 2, events_acked => 5,
      events_rejected => 3, answers_2xx => 1, 'error missing_field' => 1,
      'error unknown_event_type' => 1, 'error not_an_object' => 1 },
    'a batch, some rejected');

is_deeply(counted(sub { $http->post('/track', event('click', { x => 1 })) }),
    { requests => 1, events_rejected => 1, events_acked => 1, answers_4xx => 1,
      'error missing_field' => 1, 'error unknown_field' => 1 },
    'one event with two errors');

is_deeply(counted(sub { $http->post('/track', 'broken') }),
    { requests => 1, events_acked => 1, answers_4xx => 1,
      'error malformed_json' => 1 },
    'a request refused as a whole');

is_deeply(counted(sub { $http->get('/track') }),
    { requests => 1, answers_4xx => 1 }, 'a wrong method');

is_deeply(counted(sub { $http->post('/file', $good) }),
    { requests => 1, events_accepted => 1, events_acked => 1, answers_2xx => 1,
      body_files => 1 }, 'a body in a temp file');

is_deeply(counted(sub { $nginx->status() for 1 .. 3 }), {},
    'track_status itself is not counted');


# --- schema, leader, workers ---

my $status = $nginx->status();
my ($lineage, $number) = $stack->psql('SELECT lineage, number FROM'
    . ' track_schema_version();') =~ /^([^|]+)\|(\d+)/;
is($status->{schema}{lineage}, $lineage, 'lineage');
is($status->{schema}{number}, $number, 'number');
is($status->{schema}{version}, substr($lineage, 0, 8) . "-$number", 'version');
is($status->{schema}{event_types}, 1, 'number of event types');
is($status->{postgres}{state}, 'up', 'PostgreSQL is up');

is_deeply([sort map { $_->{pid} } @{ $status->{workers} }],
    [sort $nginx->workers()], 'both workers');
my %edge = map { $_->{edge} => 1 } @{ $status->{workers} };
is(scalar keys %edge, 2, 'each with an edge of its own');
like($_, qr/^[0-9a-f]{16}$/, "edge $_") for keys %edge;
wait_for(20, 'empty queues (beats of the ledger pass through them)', sub {
    !grep { $_->{queue} } @{ $nginx->status()->{workers} } });
pass('nothing is queued');
ok((grep { $_ == $status->{leader} } $nginx->workers()), 'one leads');


# --- counters outlive workers ---

my $before = $nginx->status()->{counters};
$nginx->reload();
$http = Track::HTTP->new($nginx->port);
is_deeply($nginx->status()->{counters}{events_acked}, $before->{events_acked},
    'a reload keeps the counters');

$status = $nginx->status();
ok(!(grep { $edge{ $_->{edge} } } @{ $status->{workers} }),
    'new workers have new edges');
kill 'KILL', my $victim = ($nginx->workers())[0];
wait_for(10, 'two workers', sub { my @w = $nginx->workers(); @w == 2 });
$http = Track::HTTP->new($nginx->port);
wait_for(10, 'an answer', sub { eval { $nginx->status() } });
is($nginx->status()->{counters}{events_acked}, $before->{events_acked},
    'so does a killed worker');
wait_for(20, 'two workers in the status', sub {
    @{ $nginx->status()->{workers} } == 2 });
ok(!(grep { $_->{pid} == $victim } @{ $nginx->status()->{workers} }),
    'which is not listed any more');


# --- Kafka away ---

is_deeply(counted(sub { $http->post('/track', $good) }),
    { requests => 1, events_accepted => 1, events_acked => 1,
      answers_2xx => 1 }, 'one more');
$stack->stop('kafka');
is_deeply(counted(sub { $http->post('/track', [$good, $good]) }),
    { requests => 1, events_accepted => 2, events_failed => 2,
      answers_5xx => 1, ack_timeouts => 1, 'error unavailable' => 1 },
    'a time-out');
my $queued = 0;
$queued += $_->{queue} for @{ $nginx->status()->{workers} };
cmp_ok($queued, '>=', 2, 'its events are still queued');
wait_for(30, 'Kafka to be seen as down', sub {
    grep { $_->{kafka} eq 'down' } @{ $nginx->status()->{workers} } });
$stack->start('kafka');
wait_for(40, 'late delivery', sub {
    my $c = $nginx->status()->{counters};
    return $c->{late_reports} == 2;
});
pass('late reports are counted');
wait_for(30, 'empty queues', sub {
    !grep { $_->{queue} } @{ $nginx->status()->{workers} } });

is($http->write($http->request('/track/status', '', ':method' => 'POST'))
    ->read_response()->{status}, 405, 'POST to track_status: 405');

done_testing();
