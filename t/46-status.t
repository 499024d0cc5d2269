#!/usr/bin/perl

# What the zone counts outlives reloads, killed workers and schemas; what is
# gauged is of the living; the zone's size is checked, and the least one serves.

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
$stack->define($_, name => 'string!') for qw(click view);


# --- a zone of the least size ---

my $tiny = Track::Nginx->new(stack => $stack,
    http => edge_conf() =~ s/track:8m/track:64k/r, known => [qr/too small/]);
my $check = $tiny->check();
my ($least) = $check->{err} =~ /track_zone "track" is too small: (\d+)k is the/;
cmp_ok($least || 0, '>', 64, "a zone that is too small: $least k is the least");
cmp_ok($least, '<=', 1024, 'a megabyte is enough');

my $nginx = Track::Nginx->new(stack => $stack,
    http => edge_conf() =~ s/track:8m/track:${least}k/r,
    known => [qr/exited on signal 9/])->start();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);
my $acks = $nginx->status()->{ack_ms}{kafka}{count};

sub good { return event($_[0] || 'click', { name => 'a' }) }

is($http->post('/track', good())->{status}, 204, 'it serves');


# --- JSON ---

# { type => { verdict => count } }, "" standing for other.
sub events {
    my %events;
    $events{ $_->{type} // '' }{ $_->{verdict} } = $_->{count}
        for @{ $_[0]{events} };
    return \%events;
}

$http->post('/track', [good(), good('view'), event('view'), event('nope')]);
my $status = $nginx->status();
is_deeply(events($status)->{click}, { accepted => 2 }, 'events of a type');
is_deeply(events($status)->{view}, { accepted => 1, rejected => 1 },
    'by verdict');
ok(exists events($status)->{''}{rejected}, 'others');

my ($accepted, $rejected) = (0, 0);
for (values %{ events($status) }) {
    $accepted += $_->{accepted} || 0;
    $rejected += $_->{rejected} || 0;
}
is($accepted, $status->{counters}{events_accepted}, 'add up to all accepted');
is($rejected, $status->{counters}{events_rejected}, 'and to all rejected');

# Beats of the ledger pass through the queues as well.
sub all_empty {
    my ($status) = @_;
    return !$status->{gauges}{kafka_queue}
        && !grep { $_->{queue} } @{ $status->{workers} };
}

my $ack = $status->{ack_ms}{kafka};
my $sum = 0;
$sum += $_ for values %{ $ack->{buckets} };
is($ack->{count}, $acks + 2, 'acknowledged requests');
is($sum, $acks + 2, 'each in one bucket');
cmp_ok($ack->{sum}, '<', 2000 * $ack->{count}, 'and their time');

is(scalar(grep { defined $_->{queue} } @{ $status->{workers} }), 2,
    'gauges of each worker');
wait_for(20, 'empty queues', sub { all_empty($nginx->status()) });
pass('empty queues, and of all');


# --- reloads ---

my $before = $status->{counters};
for my $n (1 .. 3) {
    $nginx->reload();
    $http = Track::HTTP->new($nginx->port);
    $http->post('/track', good());
    my $now = $nginx->status();
    is($now->{counters}{events_accepted}, $before->{events_accepted} + $n,
        "reload $n keeps counts and goes on");
    is(scalar @{ $now->{workers} }, 2, 'of two workers');
}
is(events($nginx->status())->{click}{accepted}, 5, 'and those by type');
is($nginx->status()->{ack_ms}{kafka}{count}, $acks + 5,
    'and the histogram');


# --- storms: killed workers, reloads, schemas that come and go ---

my $answered = 0;
my $began = $nginx->status()->{counters}{events_acked};
my $end = now() + 15;
for (my $n = 0; now() < $end; $n++) {
    for (1 .. 20) {
        my $response = eval { $http->post('/track', [good(), good('view')]) };
        $answered += 2 if $response && $response->{status} == 204;
        $http = Track::HTTP->new($nginx->port) if !$response;
    }
    eval { $nginx->status() };
    my @workers = $nginx->workers();
    kill 'KILL', $workers[rand @workers] if @workers && $n % 2;
    $nginx->signal('HUP') if $n % 7 == 6;
    $stack->psql($n % 2 ? 'DROP TABLE IF EXISTS nothing;'
        : "INSERT INTO event_types (name) VALUES ('t$n');") if $n % 3 == 0;
}
wait_for(60, 'two workers', sub { my @all = $nginx->children(); @all == 2 });
wait_for(10, 'an answer', sub { eval { $nginx->status() } });
$http = Track::HTTP->new($nginx->port);
wait_for(10, 'acceptance',
    sub { eval { $http->post('/track', good())->{status} == 204 } });
$status = $nginx->status();
cmp_ok($answered, '>', 100, "$answered events answered in a storm");
cmp_ok($status->{counters}{events_acked} - $began, '>=', $answered,
    'none of them is missing in the count');
cmp_ok($status->{counters}{events_accepted}
    + $status->{counters}{events_rejected}, '>=',
    $status->{counters}{events_acked}, 'none was acknowledged unjudged');
wait_for(20, 'empty queues', sub { all_empty($nginx->status()) });
pass('no gauge is left behind');
wait_for(20, 'slots', sub { $nginx->status()->{gauges}{workers} == 2 });
pass('but of two workers');
wait_for(10, 'a leader', sub { my $leader = $nginx->status()->{leader};
    grep { $_ == $leader } $nginx->workers() });
pass('one of them leads');


# --- one worker, and many ---

my $counts = $nginx->status()->{counters}{events_accepted};
for my $number (1, 9) {
    $nginx->configure(edge_conf() =~ s/track:8m/track:${least}k/r);
    my $text = slurp($nginx->dir . '/nginx.conf');
    spit($nginx->dir . '/nginx.conf',
        $text =~ s/worker_processes 2/worker_processes $number/r);
    $nginx->signal('HUP');
    wait_for(20, "$number workers", sub { my @all = $nginx->children();
        @all == $number && $nginx->workers() == $number });
    $http = Track::HTTP->new($nginx->port);
    is($http->post('/track', good())->{status}, 204, "$number workers serve");
    wait_for(20, "$number slots", sub {
        @{ $nginx->status()->{workers} } == $number });
    is($nginx->status()->{counters}{events_accepted}, ++$counts,
        'and count on');
}

done_testing();
