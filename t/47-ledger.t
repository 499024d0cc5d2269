#!/usr/bin/perl

# The ledger with a real nginx: every number that was given comes out as safe,
# void or lost, however its worker ends, and the topics agree.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Ledger;
use Track::Nginx;
use Track::Oracle;
use Track::Util;

my $stack = edge_stack();
my $oracle = Track::Oracle->new($stack);
$stack->define('click', name => 'string!');

my $good = event('click', { name => 'a' });
my $bad = event('click');

sub conf {
    my ($extra) = @_;

    return q{
    track_postgres "%%POSTGRES%%";
    track_zone track:8m;
    track_schema_file %%DIR%%/schema/schema.json;
    track_kafka_brokers %%KAFKA%%;
    track_kafka_property message.timeout.ms 4000;
    track_ack_timeout 1s;
    } . ($extra || '') . q{

    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 1m;
        keepalive_requests 100000;

        location = /track {
            track;
        }

        location = /none {
            track;
            track_ack none;
        }

        location = /track/status {
            track_status;
        }
    }
};
}

my @known = (qr/exited on signal 9/);
my $nginx = Track::Nginx->new(stack => $stack, http => conf(),
    known => \@known)->start();
wait_schema($nginx);

my $http = Track::HTTP->new($nginx->port);
my %of_before;


# The edges that were not there when this was last called.
sub new_edges {
    my ($what, $code) = @_;

    my $edges = wait_edges($stack, $what, sub {
        my ($all) = @_;
        my %new = map { $_ => $all->{$_} }
            grep { !$of_before{$_} } keys %$all;
        return $code->(\%new, $all);
    }, 30);
    my @new = map { $edges->{$_} }
        grep { !$of_before{$_} } sort keys %$edges;

    @of_before{ keys %$edges } = (1) x keys %$edges;
    return @new;
}

sub total {
    my ($name, @edges) = @_;
    my $sum = 0;

    $sum += ref $_->{$name} ? @{ $_->{$name} } : $_->{$name} || 0 for @edges;
    return $sum;
}


# --- traffic ---

# (The verdict that wait_schema() asks for numbers a rejected event too.)
my $before = total('upto', values %{ wait_edges($stack, 'the first beat',
    sub { total('upto', values %{ $_[0] }) }) });

is($http->post('/track', $good)->{status}, 204, 'an event');
is($http->post('/track', [$good, $bad, $good])->{status}, 200,
    'a batch of which one is rejected');
is($http->post('/track', [$bad, $bad])->{status}, 422, 'two that are rejected');
is($http->post('/track', 'nonsense')->{status}, 400, 'what is no event');

my @edges = new_edges('their beats', sub {
    total('upto', values %{ $_[0] }) >= $before + 7 });
is(total('upto', @edges), $before + 7, 'each has a number');
is(total('accepted', @edges), 3, 'three of accepted ones');
is(total('rejected', @edges), $before + 4, 'the others of rejected ones');
is(total('void', @edges) + total('lost', @edges), 0, 'all are safe');
ok(!(grep { $_->{end} } @edges), 'no worker has left');
ok($_->{host} && $_->{worker} && $_->{started_at}, 'a beat says of whom it is')
    for @edges;

wait_for(30, 'silence', sub {
    my $count = () = beats($stack);
    Time::HiRes::sleep(3);
    return $count == (() = beats($stack));
});
pass('nothing happens: nothing is said');
ledger_ok($stack, 'the topics agree');


# --- reload ---

my @old = $nginx->workers();
$nginx->reload();
wait_edges($stack, 'the ends of the old workers', sub {
    my ($all) = @_;
    return !grep { my $pid = $_;
        !grep { $_->{worker} == $pid && $_->{end} } values %$all
    } map { $_->{worker} } @edges;
});
pass('workers that a reload ends say so');

$http = Track::HTTP->new($nginx->port);
is($http->post('/track', $good)->{status}, 204, 'their successors');
new_edges('a new edge', sub { total('upto', values %{ $_[0] }) >= 1 });
ledger_ok($stack, 'reload: the topics agree');


# --- kill -9 with requests in flight ---

kill 'STOP', $stack->pid('kafka');
my $accepted = $nginx->status()->{counters}{events_accepted};
my @waiting = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 20;
$_->write($_->request('/track', json_encode([$good, $good, $bad])))
    for @waiting;
wait_for(20, 'all to be under way', sub {
    $nginx->status()->{counters}{events_accepted} >= $accepted + 40 });
kill 'KILL', $nginx->workers();
kill 'CONT', $stack->pid('kafka');

# Numbers of a batch are opened together, so there are 60 or none of a client.
@edges = new_edges('the ends of the killed workers', sub {
    my ($new, $all) = @_;
    return 60 == grep { $_ } map { @{ $_->{void} || [] } } values %$all;
});
is(total('void', values %{ edges($stack) }), 60,
    'what the killed workers had not answered is void');
ledger_ok($stack, 'killed workers: the topics agree');


# --- killed again and again, under load ---

wait_schema($nginx);
my $load = $oracle->start(rate => 300, seconds => 60, invalid => 0.3,
    url => 'http://127.0.0.1:' . $nginx->port . '/track');
for (1 .. 10) {
    Time::HiRes::sleep(0.3 + rand 0.7);
    my @workers = $nginx->workers();
    kill 'KILL', rand() < 0.3 ? @workers : $workers[rand @workers];
}
Time::HiRes::sleep(1);
my $summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'every verdict was right');
ok($oracle->check('acknowledged and rejected ones are in their topics',
    log_only => 1), 'and the ledger agrees');


# --- a killed worker's process id is somebody else's now ---

# A process with that id, which is free; nothing: it cannot be had.
sub process_of {
    my ($pid) = @_;

    for (1 .. 200) {
        open my $last, '>', '/proc/sys/kernel/ns_last_pid' or return;
        print $last $pid - 1;
        close $last or return;
        my $child = fork // die "fork: $!\n";
        exec 'sleep', 120 or die "sleep: $!\n" if !$child;
        return $child if $child == $pid;
        kill 'KILL', $child;
        waitpid $child, 0;
    }

    return;
}

wait_schema($nginx);
is(Track::HTTP->new($nginx->port)->post('/track', $good)->{status}, 204,
    'an event') for 1 .. 8;
my ($victim, @others) = $nginx->workers();
wait_edges($stack, 'beats of both workers', sub {
    my %of = map { $_->{worker} => 1 } values %{ $_[0] };
    return !grep { !$of{$_} } $victim, @others;
});
kill 'STOP', @others;
kill 'KILL', $victim;
1 while kill 0, $victim;    # nginx's master takes note of it
my $other = process_of($victim);
kill 'CONT', @others;

SKIP: {
    skip 'process ids cannot be chosen here', 2 if !$other;

    wait_edges($stack, 'the end of the killed worker', sub {
        grep { $_->{worker} == $victim && $_->{end} } values %{ $_[0] } }, 60);
    pass('its book is ended all the same');
    is(scalar(grep { $_->{pid} == $victim } @{ $nginx->status->{workers} }), 0,
        'and it is no worker any more');
    kill 'KILL', $other;
    waitpid $other, 0;
}


# --- Kafka goes and comes ---

wait_schema($nginx);
%of_before = %{ edges($stack) };
my $void = total('void', values %of_before);

$stack->stop('kafka');
$http = Track::HTTP->new($nginx->port);
is($http->post('/track', $good)->{status}, 503, 'Kafka is away: 503')
    for 1 .. 3;
$stack->start('kafka');
wait_for(20, '204 again', sub {
    $http->post('/track', $good)->{status} == 204 });

wait_edges($stack, 'void ones', sub {
    total('void', values %{ $_[0] }) >= $void + 3 }, 20);
pass('what was answered with 503 is void');
ledger_ok($stack, 'Kafka was away: the topics agree');


# --- acknowledged at once ---

my $lost = total('lost', values %{ edges($stack) });
is($http->post('/none', $good)->{status}, 202, 'track_ack none: 202');

$stack->stop('kafka');
is($http->post('/none', [$good, $good])->{status}, 202, 'Kafka is away: 202');
Time::HiRes::sleep(7);      # message.timeout.ms, looked at once a second
is($http->post('/none', $good)->{status}, 202, 'and another one');
Time::HiRes::sleep(0.2);
kill 'KILL', $nginx->workers();
$stack->start('kafka');

wait_edges($stack, 'lost ones', sub {
    total('lost', values %{ $_[0] }) >= $lost + 3 }, 30);
is(total('lost', values %{ edges($stack) }), $lost + 3,
    'what could not be delivered is lost, of killed workers too');
ledger_ok($stack, 'lost events: the topics agree');


# --- more open numbers than a book holds ---

wait_schema($nginx);
$lost = total('lost', values %{ edges($stack) });
$stack->stop('kafka');
$http = Track::HTTP->new($nginx->port);
my $many = json_encode([($good) x 500]);    # (within message.timeout.ms)
my @answers = map { $http->post('/none', $many) } 1 .. 132;
is_deeply([map { $_->{status} } @answers], [(202) x 131, 503],
    '65,500 events may be open, 66,000 may not');
is($answers[-1]{json}{error}{code}, 'unavailable', 'unavailable');
is($nginx->status()->{counters}{ledger_full}, 1, 'and that is counted');
$stack->start('kafka');
wait_edges($stack, 'their end', sub {
    total('lost', values %{ $_[0] }) >= $lost }, 20);
wait_for(20, '202 again', sub {
    $http->post('/none', $many)->{status} == 202 });
ledger_ok($stack, 'a full book: the topics agree', wait => 40);


# --- the end ---

wait_schema($nginx);
$http = Track::HTTP->new($nginx->port);
is($http->post('/track', $good)->{status}, 204, 'a last one');
$nginx->stop('QUIT');
ledger_ok($stack, 'after a quit every edge has ended', silent => 0);

$nginx->start();
wait_schema($nginx);
is(Track::HTTP->new($nginx->port)->post('/track', $good)->{status}, 204,
    'started again');
$nginx->stop('TERM');
ledger_ok($stack, 'and after a fast stop', silent => 0);

done_testing();
