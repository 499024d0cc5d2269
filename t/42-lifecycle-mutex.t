#!/usr/bin/perl

# A worker killed while it holds the zone's mutex, at one instruction or
# another of each critical section: the others go on at once, and what the
# section writes is right afterwards.  gdb stops the worker there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

# Where a lock is taken, and what makes a worker go there.
my %sections = (
    ngx_http_track_series_find     => \&new_type,
    ngx_http_track_count_retire    => \&types_gone,
    ngx_http_track_metrics_events  => \&ask,
    ngx_http_track_metrics_leader  => \&ask,
    ngx_http_track_lease_take      => \&ask,
    ngx_http_track_lease_renew     => \&ask,
    ngx_http_track_lease_return    => \&reload_once,
    ngx_http_track_leader_note     => \&new_schema,
    ngx_http_track_schema_publish  => \&new_schema,
);

my $stack = edge_stack();
$stack->define('click');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(),
    known => [qr/exited on signal 9|was locked by/])->start();
wait_schema($nginx);

my $types = 0;
my $accepted = 0;


# --- what leads into the sections ---

sub post {
    my ($body) = @_;
    my $response = eval { Track::HTTP->new($nginx->port)->post('/track', $body) };
    return $response && $response->{status};
}

sub ask { eval { $nginx->status() } }

# A reload ends the worker that is watched; one is enough.
my %reloaded;
sub reload_once {
    my ($pid) = @_;
    $nginx->signal('HUP') if !$reloaded{$pid}++;
}

sub new_schema {
    $stack->psql(sprintf "INSERT INTO event_types (name) VALUES ('t%d');",
        ++$types);
}

# Of a type that no worker has seen yet; of click, should that be none.
sub new_type {
    new_schema();
    Time::HiRes::sleep(0.2);
    my $status = post(event("t$types"));
    $accepted++ if $status && $status == 204;
}

sub types_gone {
    new_type() for 1 .. 2;
    $stack->psql(q{DELETE FROM event_types WHERE name LIKE 't%';});
    ask() for 1 .. 4;
}


# Stops one worker in $function, lets it take the mutex, go on for $steps
# instructions, and kills it there.  1: it came that far.
sub kill_inside {
    my ($pid, $function, $steps) = @_;
    my $log = $nginx->dir . '/gdb';
    my $gdb = background($log, 'gdb', '-p', $pid, '-batch', '-nx',
        map { ('-ex', $_) }
        'set pagination off', 'handle all nostop noprint pass',
        "break $function", 'continue', 'delete', 'break ngx_shmtx_lock',
        'continue', 'finish', "stepi $steps", 'echo inside\n',
        "shell kill -9 $pid", 'quit');
    my $code = $sections{$function};

    wait_for(60, "gdb to hold $pid", sub {
        slurp("/proc/$pid/status") =~ /^TracerPid:\s+[1-9]/m });
    eval { wait_for(60, "$pid to die in $function", sub {
        $code->($pid);
        return !kill(0, $pid) || !-e "/proc/$pid/exe";
    }) };
    kill 'KILL', $pid;
    waitpid $gdb, 0;

    return slurp($log) =~ /^inside/m;
}


for my $function (sort keys %sections) {
    my $inside = 0;

    for my $steps (1, 15, 60) {
        my @workers = $nginx->workers();
        my $leader = $nginx->status()->{leader};
        my ($pid) = $function =~ /renew|return|note|publish/ ? $leader
            : grep { $_ != $leader } @workers;
        $inside += kill_inside($pid, $function, $steps);

        wait_for(30, 'two workers', sub { my @w = $nginx->workers(); @w == 2 });
        wait_for(20, 'an answer', sub { (post(event('click')) || 0) == 204 });
        wait_for(20, 'a leader', sub {
            my $status = ask() or return 0;
            return grep { $_->{pid} == $status->{leader} }
                @{ $status->{workers} };
        });
        pass("$function + $steps: all goes on");
    }

    is($inside, 3, "$function: killed inside, three times");
}


# nginx's master says whose lock it has broken.
cmp_ok($nginx->log_count(qr/zone "track.*was locked by/), '>=', 15,
    'they did hold the lock');


# --- what is left ---

my $status = $nginx->status();
is(scalar @{ $status->{workers} }, 2, 'two workers are listed');
my %seen;
$seen{ ($_->{type} // '') . " $_->{verdict}" }++ for @{ $status->{events} };
is_deeply([grep { $seen{$_} > 1 } keys %seen], [], 'no series is there twice');
new_schema();
wait_verdict($nginx, '', "t$types");
is(post(event("t$types")), 204, 'schemas are followed');

done_testing();
