#!/usr/bin/perl

# Reloads, quits, terminations and killed workers under load: nothing that was
# acknowledged is missing in Kafka's log, no worker hangs, no alert is logged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Oracle;
use Track::Util;

my $stack = edge_stack();
my $oracle = Track::Oracle->new($stack);
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(),
    known => [qr/exited on signal 9/])->start();
wait_schema($nginx);

my $url = 'http://127.0.0.1:' . $nginx->port . '/track';


# --- 30 reloads ---

my $load = $oracle->start(url => $url, seconds => 120, rate => 400);
wait_for(30, 'the first events',
    sub { $nginx->status()->{counters}{events_acked} });

# The longest time that an old worker took to leave.
my $longest = 0;
for my $n (1 .. 20) {
    my $begin = now();
    $nginx->reload();
    my $took = now() - $begin;
    $longest = $took if $took > $longest;
}
cmp_ok($longest, '<', 25, sprintf 'old workers left within %.1f s', $longest);

# And ten in quick succession, generations of workers side by side.
for (1 .. 10) {
    $nginx->signal('HUP');
    Time::HiRes::sleep(0.15);
}
wait_for(60, 'all but two workers to leave',
    sub { my @all = $nginx->children(); @all == 2 });
pass('after ten reloads in a row two workers are left');

my $summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], '30 reloads: every verdict was right');
is_deeply([grep { /^\d/ && !/^(?:200|204|422)$/ } keys %{ $summary->{answers} }],
    [], '30 reloads: no other status') or diag(explain($summary->{answers}));
$oracle->check('30 reloads: every acknowledged event is in Kafka',
    log_only => 1);


# --- quit, terminate ---

for my $signal (qw(QUIT TERM)) {
    my $load = $oracle->start(url => $url, seconds => 60, rate => 400);
    Time::HiRes::sleep(1);
    my $took = $nginx->stop($signal);
    cmp_ok($took, '<', $signal eq 'QUIT' ? 25 : 9,
        sprintf '%s under load: gone after %.1f s', $signal, $took);
    $nginx->start();
    Time::HiRes::sleep(1);
    my $summary = $oracle->finish($load);
    is_deeply($summary->{wrong}, [], "$signal: every verdict was right");
    cmp_ok($summary->{verdicts}{acked}, '>', 100, "$signal: of many");
    $oracle->check("$signal: every acknowledged event is in Kafka",
        log_only => 1);
}


# --- killed workers ---

$load = $oracle->start(url => $url, seconds => 60, rate => 400);
for (1 .. 5) {
    Time::HiRes::sleep(0.4);
    my @workers = $nginx->workers();
    kill 'KILL', $workers[rand @workers];
}
wait_for(10, 'two workers', sub { my @w = $nginx->workers(); @w == 2 });
Time::HiRes::sleep(0.5);
$summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'killed workers: every verdict was right');
$oracle->check('killed workers: every acknowledged event is in Kafka',
    log_only => 1);

my $before = $nginx->status()->{counters}{requests};
is(Track::HTTP->new($nginx->port)->post('/track', '{}')->{status}, 422,
    'still served');
cmp_ok($nginx->status()->{counters}{requests}, '==', $before + 1,
    'counters are in shared memory and go on');


# --- idle workers with open connections leave at once ---

my @idle = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 5;
$_->post('/track', '{}') for @idle;
my $begin = now();
$nginx->reload();
cmp_ok(now() - $begin, '<', 30, 'keep-alive clients do not hold old workers');


# --- a body that ends while its worker is leaving, and a client that left ---

$stack->define('click', name => 'string!');
wait_verdict($nginx, '', 'click', { name => 'a' });

my $event = event('click', { name => 'late' }, event_id => uuid());
my $text = Track::HTTP->new(0)->request('/track', json_encode($event));
$before = $nginx->status()->{counters}{requests};
my $client = Track::HTTP->new($nginx->port)->write(substr $text, 0, -10);
wait_for(20, 'a worker to have it', sub {
    $nginx->status()->{counters}{requests} > $before });
$nginx->signal('HUP');
Time::HiRes::sleep(2.5);
$client->write(substr $text, -10)->close();
ok(record_soon($stack, $event->{event_id}), 'its event is in Kafka all the same');
wait_for(60, 'the old workers to leave',
    sub { my @all = $nginx->children(); @all == 2 });

done_testing();
