#!/usr/bin/perl

# Who owns a spool: one worker, for life; when it ends another one adopts what
# it leaves, whichever nginx that worker belongs to, and only one.

use strict;
use warnings;

use Fcntl ':flock';
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Spool;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');


# Two masters on one path, and none of their spools there yet.
my $one = spool_nginx($stack);
my $path = $one->dir . '/spool';
my $two = spool_nginx($stack, path => $path);

sub edges { return map { $_->{edge} } @{ $_[0]->status->{workers} } }


$stack->stop('kafka');
my %ids = map { $_ => [] } 'one', 'two';
for ([one => $one], [two => $two]) {
    my ($name, $nginx) = @$_;
    my $got = spool_post($nginx, 40);
    is_deeply([keys %$got], ['204 spool'], "$name writes to its spool");
    push @{ $ids{$name} }, @{ $got->{'204 spool'} };
}
my %own = map { $_ => 1 } edges($one), edges($two);
is_deeply([grep { !$own{ $_->{edge} } || !$_->{owned} } spool_list($path)], [],
    'each spool has its owner');

# What is owned is not adopted.
Time::HiRes::sleep(12);
is(counter($one, 'spool_adopted') + counter($two, 'spool_adopted'), 0,
    'nobody adopts what has an owner');

# One of them dies whole: the other one adopts, each spool once.
my $left = grep { my $edge = $_; grep { $_->{edge} eq $edge } spool_list($path) }
    edges($one);
my @all = ($one->pid, $one->children());
kill 'KILL', @all;
wait_for(10, 'nginx to die', sub { !grep { kill 0, $_ } @all });
unlink $one->dir . '/nginx.pid';
wait_for(60, 'adoption', sub { !grep { !$_->{owned} } spool_list($path) });
is(wait_counter($two, 'spool_adopted', $left), $left, 'the other one adopts what it left');
Time::HiRes::sleep(11);
is(counter($two, 'spool_adopted'), $left, 'once');
is(spool_waits($path) >= 80, 1, 'all is there');

# It comes back while the other one drains.
$stack->start('kafka');
$one->start();
wait_schema($one);
wait_drained($path, 60);
once_each($stack, 'of the first', $ids{one});
once_each($stack, 'of the second', $ids{two});


# --- somebody else holds a lock: a backup, a container ---

$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($one, 1)->{'204 spool'} });
my $held = spool_post($one, 30);
my @segments = spool_files($path, '*.seg');
my ($file) = grep { my $text = slurp($_);
    grep { $text =~ /$_/ } @{ $held->{'204 spool'} } } @segments;
my ($folder) = $file =~ m{^(.*)/};

# (The other one, which looks for such spools, must not be faster.)
my @others = $two->workers();
kill 'STOP', @others;
$one->stop('TERM', 40);
open my $lock, '<', "$folder/lock" or die "cannot open $folder/lock: $!\n";
ok(flock($lock, LOCK_EX | LOCK_NB), 'its lock is free when nginx has ended')
    or diag("$!");
kill 'CONT', @others;
$stack->start('kafka');
Time::HiRes::sleep(12);
ok(-e $file, 'a lock that somebody holds is respected');
close $lock;
wait_for(40, 'it to be drained', sub { !-e $folder });
pass('let go of, it is drained and removed');
once_each($stack, 'held for a while', $held->{'204 spool'});

# A folder without lock, or with another's files, is left alone.
mkdir "$path/0123456789abcdef" or die $!;
spit("$path/0123456789abcdef/00000001.seg", 'x' x 100);
chown((stat $path)[4], -1, "$path/0123456789abcdef");
Time::HiRes::sleep(12);
ok(-e "$path/0123456789abcdef/00000001.seg", 'no lock: left alone');
is($two->bad_lines(), 0, 'without an alarm');


my $took;

# --- killed while a spool is removed: what is left is no riddle ---

my $stale = "$path/.new-00000000000000aa";
mkdir $stale or die "cannot make $stale: $!\n";
spit("$stale/lock", '');
my ($uid, $gid) = (stat $path)[4, 5];
chown $uid, $gid, $stale, "$stale/lock";
utime time - 120, time - 120, $stale;
wait_for(40, 'it to be cleared', sub { !-e $stale });
pass('half a spool is cleared away');


# --- a client that keeps an old worker does not keep its records ---

$two->stop('QUIT', 20);
$one->start();
wait_schema($one);
$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($one, 1)->{'204 spool'} });
my $kept = spool_post($one, 30);
my $body = json_encode(event('click', { name => 'slow' }));
my $requests = counter($one, 'requests');
my @slow = map { Track::HTTP->new($one->port)->connect() } 1 .. 8;
$_->write("POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: "
    . length($body) . "\r\n\r\n" . substr($body, 0, 5)) for @slow;
wait_for(20, 'workers to have them', sub {
    counter($one, 'requests') >= $requests + @slow });
my @before = $one->workers();
$one->signal('HUP');
wait_for(40, 'new workers', sub {
    my %old = map { $_ => 1 } @before;
    return scalar grep { !$old{$_} } $one->workers() });
$stack->start('kafka');
$took = wait_drained($path, 40);
my %now = map { $_ => 1 } $one->children();
ok(scalar(grep { $now{$_} } @before), 'an old worker is still there');
pass(sprintf 'what it had spooled was delivered after %.1f s', $took);
once_each($stack, 'of the old worker', $kept->{'204 spool'});
$_->write(substr $body, 5) for @slow;
is_deeply([map { $_->read_response()->{status} } @slow], [(204) x 8],
    'and its clients get their answers');
wait_for(60, 'the old workers to leave', sub {
    my %now = map { $_ => 1 } $one->children();
    return !grep { $now{$_} } @before });


# --- a binary upgrade: the old workers' spools go to the new ones ---

$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($one, 1)->{'204 spool'} });
my $upgraded = spool_post($one, 50);
is_deeply([keys %$upgraded], ['204 spool'], 'events before an upgrade');
my $old = $one->pid;
kill 'USR2', $old;
wait_for(60, 'a new master', sub {
    -s $one->dir . '/nginx.pid.oldbin' && $one->pid && $one->pid != $old });
wait_schema($one);
my $beside = spool_post($one, 20);
is_deeply([keys %$beside], ['204 spool'], 'both are at it');
kill 'QUIT', $old;
wait_for(40, 'the old master to leave', sub { !kill 0, $old });
wait_for(60, 'adoption', sub {
    !grep { !$_->{owned} && $_->{waits} } spool_list($path) });
$stack->start('kafka');
wait_drained($path, 60);
once_each($stack, 'of the old one', [map { @{ $_->{'204 spool'} } }
    $upgraded, $beside], most => 1);


# --- fewer workers, more workers ---

for my $workers (1, 4) {
    $stack->stop('kafka');
    wait_for(20, 'the spool', sub { spool_post($one, 1)->{'204 spool'} });
    my $before = spool_post($one, 30);
    $one->configure(spool_conf());
    my $conf = slurp($one->dir . '/nginx.conf');
    $conf =~ s/^worker_processes .*;$/worker_processes $workers;/m or die;
    spit($one->dir . '/nginx.conf', $conf);
    $one->reload(40);
    my $after = spool_post($one, 10);
    $stack->start('kafka');
    wait_drained($path, 60);
    once_each($stack, "$workers workers", [map { @{ $_->{'204 spool'} || [] } }
        $before, $after]);
}


# --- TERM with Kafka away: what waits for an answer is safe or was refused ---

$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($one, 1)->{'204 spool'} });
my $last = spool_post($one, 30);
$took = $one->stop('TERM', 30);
cmp_ok($took, '<', 9, sprintf 'TERM: gone after %.1f s', $took);
$one->start();
wait_schema($one);
$stack->start('kafka');
wait_drained($path, 60);
once_each($stack, 'before TERM', $last->{'204 spool'});

done_testing();
