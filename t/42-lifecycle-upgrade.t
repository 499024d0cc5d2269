#!/usr/bin/perl

# A binary upgrade as nginx's manual has it, USR2, WINCH, QUIT, under load: two
# masters side by side, each with a zone of its own, on one schema file and one
# spool; a way back; nothing that was acknowledged is lost.

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
$stack->define('click', name => 'string!');
my $nginx = Track::Nginx->new(stack => $stack, folders => ['spool'],
    http => edge_conf('track_spool %%DIR%%/spool;'))->start();
wait_schema($nginx);

my $url = 'http://127.0.0.1:' . $nginx->port . '/track';
my $good = event('click', { name => 'a' });


sub children {
    my ($master) = @_;
    return split ' ', run('ps', '-o', 'pid=', '--ppid', $master)->{out};
}

# Starts a second master beside the first; returns the pids of both.
sub upgrade {
    my $old = $nginx->pid();

    $nginx->signal('USR2');
    at_end(sub { kill 'QUIT', $old if kill 0, $old });
    wait_for(60, 'a second master', sub {
        -s $nginx->dir . '/nginx.pid.oldbin' && $nginx->pid()
            && $nginx->pid() != $old && $nginx->workers() == 2 });

    return ($old, $nginx->pid());
}

sub gone {
    my ($master) = @_;
    wait_for(60, "master $master to leave", sub { !kill 0, $master });
}

# Which master's worker answers changes from one connection to the next.
sub leaders {
    my %leaders;
    for (1 .. 60) {
        my $status = $nginx->status() or next;
        $leaders{ $status->{leader} } = 1;
    }
    return keys %leaders;
}


# --- upgrade ---

my $load = $oracle->start(url => $url, seconds => 120, rate => 300);
wait_for(30, 'the first events',
    sub { $nginx->status()->{counters}{events_acked} > 100 });
my @edges = map { $_->{edge} } @{ $nginx->status()->{workers} };

my ($old, $new) = upgrade();
is(scalar children($old), 3, 'old workers and the new master');
is(scalar children($new), 2, 'new workers');
wait_for(30, 'two leaders', sub { leaders() == 2 });
pass('each zone has a leader');

$stack->define('during', name => 'string!');
my %late;
wait_for(30, 'the new type in all workers', sub {
    %late = ();
    $late{ verdict($nginx, 'during', { name => 'a' }) }++ for 1 .. 40;
    return keys %late == 1 && exists $late{''};
});
pass('a change of the schema reaches both');

kill 'WINCH', $old;
wait_for(40, 'the old workers to leave', sub { children($old) == 1 });
kill 'QUIT', $old;
gone($old);
Time::HiRes::sleep(1);
my $summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'every verdict was right');
is_deeply([grep { /^\d/ && !/^(?:200|204|422)$/ } keys %{ $summary->{answers} }],
    [], 'no other status') or diag(explain($summary->{answers}));
cmp_ok($summary->{verdicts}{acked}, '>', 500, 'of many');
$oracle->check('every acknowledged event is in Kafka', log_only => 1);

my %edge = map { $_ => 1 } @edges;
my @now = map { $_->{edge} } @{ $nginx->status()->{workers} };
is(scalar @now, 2, 'two workers are left');
is((grep { $edge{$_} } @now), 0, 'with edges of their own');


# --- and back ---

$load = $oracle->start(url => $url, seconds => 120, rate => 300);
Time::HiRes::sleep(1);
my $before = $nginx->status()->{counters}{events_acked};
($old, $new) = upgrade();
Time::HiRes::sleep(1);
kill 'QUIT', $new;
gone($new);
wait_for(30, 'the old pid file', sub { $nginx->pid() == $old });
cmp_ok($nginx->status()->{counters}{events_acked}, '>=', $before,
    'the old master goes on, and on counting');
Time::HiRes::sleep(1);
$summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'back again: every verdict was right');
is_deeply([grep { /^\d/ && !/^(?:200|204|422)$/ } keys %{ $summary->{answers} }],
    [], 'back again: no other status') or diag(explain($summary->{answers}));
$oracle->check('back again: every acknowledged event is in Kafka',
    log_only => 1);
$stack->define('after', name => 'string!');
wait_verdict($nginx, '', 'after', { name => 'a' });
pass('it follows the schema');


# --- Kafka away: the new workers send what the old ones have spooled ---

$stack->stop('kafka');
my %ids;
my $http = Track::HTTP->new($nginx->port);
for (1 .. 40) {
    my $id = uuid();
    my $answer = $http->post('/track', { %$good, event_id => $id });
    $ids{$id} = $answer->{header}{'x-track-ack'} if $answer->{status} == 204;
}
is(scalar keys %ids, 40, 'Kafka is away, the spool takes them');
($old, $new) = upgrade();
kill 'QUIT', $old;
gone($old);
$stack->start('kafka');
wait_for(60, 'the spool to be drained',
    sub { my @left = glob $nginx->dir . '/spool/*'; !@left });
my $records = join "\n", map { $_->{value} }
    Track::Kafka::kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_events');
is((grep { index($records, $_) < 0 } keys %ids), 0, 'they are all in Kafka');
wait_for(40, 'an answer by Kafka', sub {
    my $answer = Track::HTTP->new($nginx->port)->post('/track', $good);
    return ($answer->{header}{'x-track-ack'} // '') eq 'kafka';
});
pass('and all is as before');

done_testing();
