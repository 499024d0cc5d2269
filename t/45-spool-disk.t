#!/usr/bin/perl

# The spool's disk fails, fills up, hangs: 503, nothing acknowledged that is not
# safe, the rest of nginx goes on, and events are taken again when it is mended.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Spool;
use Track::Util;

disk_shim();
my $stack = edge_stack();
$stack->define('click', name => 'string!');

my $nginx = spool_nginx($stack, workers => 1);
my $path = $nginx->dir . '/spool';
my @safe;

# Events one after the other until they are answered with what is wanted.
sub wait_answer {
    my ($wanted, %arg) = @_;

    wait_for(40, $wanted, sub {
        my $ids = spool_post($nginx, 1, %arg);
        push @safe, map { @{ $ids->{$_} } } grep { /^204/ } keys %$ids;
        return $ids->{$wanted};
    });
}

sub posts_are {
    my ($wanted, $n, $name, %arg) = @_;
    my $ids = spool_post($nginx, $n, %arg);

    is_deeply([keys %$ids], [$wanted], $name);
    push @safe, map { @{ $ids->{$_} } } grep { /^204/ } keys %$ids;
}


# --- the first write finds no folder ---

disk($nginx, 'make EIO');
posts_are('204 kafka', 2, 'no folder can be made: Kafka has it, or nobody',
    path => '/spool');
is_deeply([glob "$path/* $path/.new-*"], [], 'and nothing is left of it');
disk($nginx);
wait_answer('204 spool', path => '/spool');

# Nor is there one where a lock keeps nobody out.
for (['lock lie', qr/locks do not work on the file system of track_spool/],
     ['lock EIO', qr/flock\(\) in .* failed: .*with working locks/])
{
    my ($fault, $line) = @$_;
    disk($nginx, $fault);
    $nginx->reload();
    posts_are('204 kafka', 2, "$fault: likewise", path => '/spool');
    ok($nginx->log_count($line), "$fault: the log names the remedy");
    is_deeply([glob "$path/.new-*"], [], "$fault: nothing is left of it");
}
disk($nginx);
$nginx->reload();
wait_answer('204 spool', path => '/spool');

disk($nginx, 'syncdir EIO');
$nginx->reload();
posts_are('204 kafka', 1, 'a folder that cannot be synced: likewise',
    path => '/spool');
disk($nginx);
wait_answer('204 spool', path => '/spool');
cmp_ok(counter($nginx, 'spool_failures'), '>=', 2, 'spool_failures');


# --- with Kafka away ---

$stack->stop('kafka');
wait_answer('204 spool');

for (['sync EIO', 'fdatasync fails'], ['write EIO', 'write fails'],
    ['write ENOSPC', 'the disk is full']) {
    my ($fault, $name) = @$_;

    disk($nginx, $fault);
    posts_are('503', 3, "$name: 503");
    is($nginx->status->{counters}{answers_5xx} > 0, 1, 'nginx goes on');
    disk($nginx);
    wait_answer('204 spool');
    posts_are('204 spool', 5, 'mended: events are taken again');
}
cmp_ok($nginx->log_count(qr/writing segment \d+ of spool \w+ failed/), '>=', 1,
    'the log says which write failed');

# A file that failed is never written again: each failure made a new one.
my @segments = spool_files($path, '*.seg');
cmp_ok(scalar @segments, '>=', 4, 'files that failed were left');
is(spool_tool('verify', $path)->{rc}, 0, 'nothing in them is damaged');

# One failure only: what waited goes to a new segment.
for my $fault ('sync once', 'write once') {
    my $failures = counter($nginx, 'spool_failures');

    chmod 0777, $nginx->dir;
    disk($nginx, $fault);
    posts_are('204 spool', 3, "$fault: what waited goes to a new segment");
    is(counter($nginx, 'spool_failures'), $failures + 1, 'a failure all the same');
}


# --- the disk hangs ---

disk($nginx, 'sync hang', 'write hang');
my $begin = now();
posts_are('503', 1, 'a disk that hangs: 503');
my $took = now() - $begin;
cmp_ok($took, '>', 0.5, sprintf 'after track_ack_timeout (%.1f s)', $took);
cmp_ok($took, '<', 15, 'and no later');

my @http = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 20;
$_->write($_->request('/track', json_encode(event('click', { name => 'a' }))))
    for @http;
my $slowest = 0;
for (1 .. 10) {
    my $begin = now();
    $nginx->status();
    $slowest = now() - $begin if now() - $begin > $slowest;
    Time::HiRes::sleep(0.05);
}
cmp_ok($slowest, '<', 0.9, sprintf 'others are served in %.3f s', $slowest);
is_deeply([map { $_->read_response()->{status} } @http], [(503) x 20],
    'all that wait get their 503');

disk($nginx);
wait_answer('204 spool');
posts_are('204 spool', 5, 'it answers again: events are taken');

disk($nginx, 'sync hang', 'write hang');
spool_post($nginx, 1);
wait_for(40, 'the log to tell of it',
    sub { $nginx->log_count(qr/has not answered for/) });
pass('the log tells of a disk that hangs');
$took = $nginx->stop('QUIT', 40);
cmp_ok($took, '<', 35, sprintf 'a worker leaves without waiting for it: %.1f s',
    $took);
disk($nginx);

$nginx->start();
wait_schema($nginx);
wait_answer('204 spool');
disk($nginx, 'sync hang', 'write hang');
spool_post($nginx, 1);
Time::HiRes::sleep(6);
$took = $nginx->stop('TERM', 30);
cmp_ok($took, '<', 15, sprintf 'TERM: gone after %.1f s', $took);
disk($nginx);


# --- what was acknowledged is delivered ---

$nginx->start();
wait_schema($nginx);
$stack->start('kafka');
wait_drained($path, 90);
once_each($stack, 'acknowledged', \@safe);


# --- quota ---

my $small = spool_nginx($stack, workers => 1,
    spool => 'max_size=256k segment=64k', main => '');
$path = $small->dir . '/spool';
$stack->stop('kafka');

my $ids = spool_post($small, 40, fields => { name => 'x' x 20000 });
my ($taken, $not) = map { scalar @{ $ids->{$_} || [] } } '204 spool', '503';
cmp_ok($taken, '>=', 8, "$taken of 20 kB fit into 256k");
cmp_ok($taken, '<', 14, "and no more");
is($taken + $not, 40, 'the others: 503');
cmp_ok(counter($small, 'spool_full'), '>=', $not, 'spool_full');

my $used = 0;
$used += -s for spool_files($path, '*');
cmp_ok($used, '<=', 256 * 1024 + 1024, 'max_size is kept');

# A reload and kills do not make room.
$small->reload();
kill 'KILL', $small->workers();
wait_for(30, 'a new worker', sub { $small->workers() == 1 });
wait_schema($small);
Time::HiRes::sleep(1.5);
my $again = spool_post($small, 3, fields => { name => 'x' x 20000 });
is_deeply([keys %$again], ['503'], 'full it stays');

$stack->start('kafka');
wait_drained($path, 60);
once_each($stack, 'what was taken', $ids->{'204 spool'});
wait_for(30, 'room again', sub {
    my $got = spool_post($small, 1, path => '/spool');
    return $got->{'204 spool'};
});
pass('drained: there is room again');

# Rejected ones take half of it at most.
$stack->stop('kafka');
my $http = Track::HTTP->new($small->port);
my @statuses = map { $http->post('/track', event('click',
    { wrong => 'x' x 20000 }))->{status} } 1 .. 20;
my $kept = grep { $_ == 422 } @statuses;
cmp_ok($kept, '>=', 3, "$kept rejected events were kept");
cmp_ok($kept, '<=', 6, 'in half of the spool');
is(scalar(grep { $_ == 503 } @statuses), 20 - $kept, 'the others: 503');
$ids = spool_post($small, 2, fields => { name => 'x' x 20000 });
is_deeply([keys %$ids], ['204 spool'], 'accepted ones have the other half');
$small->stop('TERM', 30);
$stack->start('kafka');


# --- a real disk that is full ---

SKIP: {
    my $disk = File::Temp::tempdir();
    chmod 0755, $disk;
    skip 'cannot mount a tmpfs', 5 if $> != 0
        || run('mount', '-t', 'tmpfs', '-o', 'size=512k', 'none', $disk)->{rc};
    at_end(sub { run('umount', '-l', $disk); rmdir $disk });
    mkdir "$disk/spool" or die "cannot make $disk/spool: $!\n";

    my $full = spool_nginx($stack, workers => 1, path => "$disk/spool");
    $stack->stop('kafka');
    my $ids = spool_post($full, 40, fields => { name => 'x' x 20000 });
    my $taken = @{ $ids->{'204 spool'} || [] };
    cmp_ok($taken, '>=', 15, "a disk of 512k takes $taken of 20 kB");
    is($taken + @{ $ids->{503} || [] }, 40, 'the others: 503');
    is(spool_tool('verify', "$disk/spool")->{rc}, 0, 'nothing is damaged');
    $stack->start('kafka');
    wait_drained("$disk/spool", 60);
    once_each($stack, 'what was taken', $ids->{'204 spool'});
    $full->stop('QUIT', 30);
}


# --- the thread pool is full ---

my $pool = spool_nginx($stack, workers => 1, spool => 'pool=one',
    main => 'thread_pool one threads=1 max_queue=1;',
    known => [qr/thread pool "one" queue overflow/]);
$path = $pool->dir . '/spool';
disk($pool, 'sync hang');
spool_post($pool, 1, path => '/spool');
Time::HiRes::sleep(2.5);        # housekeeping takes the place in the queue
$stack->stop('kafka');
$begin = now();
$ids = spool_post($pool, 3);
is_deeply([keys %$ids], ['503'], 'a pool that takes no task: 503');
cmp_ok(now() - $begin, '<', 30, 'in time');
disk($pool);
wait_for(40, 'the pool to work again',
    sub { spool_post($pool, 1)->{'204 spool'} });
pass('and events are taken again when it does');
$stack->start('kafka');
wait_drained($path, 60);

done_testing();
