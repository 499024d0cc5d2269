#!/usr/bin/perl

# What an answer says of where the events are, with a spool: a broker that hangs,
# is stopped, comes back; clients that leave; workers that leave with what Kafka
# has not taken.  Every acknowledged event is in Kafka in the end, once.

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

my $stack = edge_stack();
my $brokers = $stack->env('KAFKA_BROKERS');
$stack->define('click', name => 'string!');

my $places = <<'CONF';
        location = /spool { track; track_ack spool; }
        location = /none { track; track_ack none; }
        location = /absent { track; track_kafka_topic absent; }
        location = /quick { track; track_ack_timeout 500ms; }
CONF
my $conf = edge_conf('track_ack_timeout 1s; track_spool %%DIR%%/spool;');
$conf =~ s/(\h+location = \/small)/$places\n$1/;

my $nginx = Track::Nginx->new(stack => $stack, workers => 1, http => $conf,
    folders => ['spool'], main => 'worker_shutdown_timeout 20s;')->start();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);

my %sent;       # event_id => status and X-Track-Ack

sub click {
    my $id = uuid();
    return event('click', { name => $_[0] // 'a' }, event_id => $id);
}

# POSTs events; returns status and X-Track-Ack.
sub post {
    my ($path, @events) = @_;
    my $r = $http->post($path, @events == 1 ? $events[0] : \@events);
    my $got = join ' ', $r->{status}, $r->{header}{'x-track-ack'} // '-';

    for my $event (@events) {
        $sent{ $event->{event_id} } = $got if $event->{fields}{name};
    }

    return $got;
}

sub seconds {
    my ($code) = @_;
    my $begin = now();
    $code->();
    return now() - $begin;
}

sub counters { return $nginx->status()->{counters} }

# How often each accepted event is in the topic.
sub copies {
    my ($topic) = @_;
    my %n;
    for (kafka_records($brokers, $topic || 'tracking_events')) {
        $n{ json_decode($_->{value})->{event_id} }++;
    }
    return \%n;
}

# All that was answered with 2xx is there; none of it twice, unless it may be.
sub settled {
    my ($name, %may) = @_;
    my @acked = grep { $sent{$_} =~ /^2/ } keys %sent;
    my $n;

    wait_for(60, "$name: all of them", sub {
        $n = copies();
        return !grep { !$n->{$_} } @acked;
    });
    pass("$name: every acknowledged event is in Kafka (@{[scalar @acked]})");
    is((grep { $n->{$_} > 1 } @acked), 0, "$name: none of them twice")
        if !$may{twice};
    wait_for(60, "$name: an empty spool",
        sub { !$nginx->status()->{gauges}{spool_records} });
    %sent = ();
}


# --- Kafka is there ---

is(post('/track', click()), '204 kafka', 'kafka');
is(post('/spool', click()), '204 spool', 'spool');
is(post('/none', click()), '202 none', 'none');
is(post('/spool', click(), event('click', {}, event_id => uuid())), '200 spool',
    'spool: with a rejected one');
is(post('/spool', map { click() } 1 .. 3), '204 spool', 'spool: a batch');
settled('Kafka there');


# --- it hangs; track_ack none alone notices, too ---

my $before = counters();
$stack->signal('kafka', 'STOP');
is(post('/none', click()), '202 none', 'none: at once');
wait_for(30, 'direct mode',
    sub { counters()->{direct_switches} > $before->{direct_switches} });
is(post('/track', click()), '204 spool', 'direct mode, so to the spool');
$stack->signal('kafka', 'CONT');
wait_for(60, 'kafka again', sub { post('/track', click()) eq '204 kafka' });
settled('after none');

$stack->signal('kafka', 'STOP');
$before = counters();

my ($slow) = map { seconds($_) }
    sub { is(post('/track', click()), '204 spool', 'Kafka hangs: spool') };
cmp_ok($slow, '>', 0.9, 'after track_ack_timeout');
cmp_ok($slow, '<', 10, sprintf 'and soon then (%.2f s)', $slow);
is(counters()->{direct_switches} - $before->{direct_switches}, 1,
    'direct mode');

my $quick = seconds(sub {
    is(post('/track', click()), '204 spool', 'the next: spool') for 1 .. 5;
});
cmp_ok($quick, '<', 4.5, sprintf 'without waiting for Kafka (%.2f s)', $quick);
is(post('/spool', click()), '204 spool', 'spool');
is(post('/none', click()), '202 none', 'none');
my $rejected = event('click', {}, event_id => uuid());
is(post('/track', $rejected), '422 spool', 'rejected: spool');
is($http->post('/track', 'nonsense')->{header}{'x-track-ack'}, 'spool',
    'a body that is no JSON: spool');

my $left = click('left');
my $leaver = Track::HTTP->new($nginx->port)->connect();
my $accepted = counters()->{events_accepted};
$leaver->write($leaver->request('/track', json_encode($left)));
wait_for(20, 'it to have come in',
    sub { counters()->{events_accepted} > $accepted });
$leaver->reset();
$sent{ $left->{event_id} } = '204 as if';

$stack->signal('kafka', 'CONT');
wait_for(60, 'kafka again', sub { post('/track', click()) eq '204 kafka' });
pass('Kafka goes on: direct mode ends');
settled('Kafka hung');
ok(record_of($stack, $rejected->{event_id}, 'tracking_events_rejected'),
    'the rejected one is where it belongs');
is((grep { $_->{value} =~ /"nonsense"/ }
    kafka_records($brokers, 'tracking_events_rejected')), 1,
    'the body, too');


# --- it hangs shorter than that: late reports ---

$stack->signal('kafka', 'STOP');
is(post('/quick', click()), '204 spool', 'spooled while Kafka holds it');
Time::HiRes::sleep(0.5);
$stack->signal('kafka', 'CONT');
wait_for(30, 'late reports', sub {
    counters()->{late_reports} > $before->{late_reports} });
settled('late reports');


# --- a topic that is missing ---

is(post('/absent', my $early = click()), '204 spool', 'a missing topic: spool');
is(post('/track', click()), '204 kafka', 'others are not held back');
run_ok("$FindBin::Bin/lib/kafka-admin", $brokers, 'create-topic', 'absent', 1);
wait_for(30, 'the topic to be filled',
    sub { copies('absent')->{ $early->{event_id} } });
is(copies('absent')->{ $early->{event_id} }, 1, 'it is there when the topic is');
delete $sent{ $early->{event_id} };


# --- it is stopped, and workers come and go ---

$stack->stop('kafka');
is(post('/track', click()), '204 spool', 'Kafka away: spool');
is(post('/none', click()), '202 none', 'none') for 1 .. 3;
is(post('/track', map { click() } 1 .. 100), '204 spool', 'a hundred');

$nginx->reload();
$http = Track::HTTP->new($nginx->port);
is(post('/track', click()), '204 spool', 'after a reload');
is(post('/none', click()), '202 none', 'none');

my $took = $nginx->stop('TERM', 30);
cmp_ok($took, '<', 9, sprintf 'TERM: gone after %.1f s', $took);

# A worker that has not yet noticed that Kafka is away leaves while some wait.
$nginx->start();
wait_for(30, 'a schema', sub {
    verdict($nginx, 'no such type') ne 'no_schema' });
my @waiting = map { click('waiting') } 1 .. 5;
my @clients = map { Track::HTTP->new($nginx->port)->connect() } @waiting;
$nginx->stop('TERM', 30);
$nginx->start();
wait_schema($nginx);
$nginx->stop('TERM', 30);
$nginx->start();
Time::HiRes::sleep(0.5);
$accepted = counters()->{events_accepted};
@clients = map { Track::HTTP->new($nginx->port)->connect() } @waiting;
for my $n (0 .. 4) {
    $clients[$n]->write($clients[$n]->request('/track',
        json_encode($waiting[$n])));
}
wait_for(20, 'them to have come in',
    sub { counters()->{events_accepted} >= $accepted + 5 });
$took = $nginx->stop('TERM', 30);
cmp_ok($took, '<', 9, sprintf 'TERM while some wait: gone after %.1f s', $took);
is($clients[0]->read_response(), undef, 'they get no answer');
$sent{ $_->{event_id} } = '204 as if' for @waiting;
$nginx->start();
$http = Track::HTTP->new($nginx->port);
wait_for(10, 'a schema',
    sub { post('/track', click()) =~ /^204/ });

$took = $nginx->stop('QUIT', 30);
cmp_ok($took, '<', 20, sprintf 'QUIT: gone after %.1f s', $took);
$stack->start('kafka');
$nginx->start();
$http = Track::HTTP->new($nginx->port);
wait_for(60, 'kafka again', sub { post('/track', click()) eq '204 kafka' });
settled('Kafka away', twice => 1);

done_testing();
