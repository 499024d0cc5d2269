#!/usr/bin/perl

# The broker alone is killed again and again, about as long away as the loader's
# session lasts: the loader must live through it, as one process, and fence
# nobody but a real twin.  TRACK_KILL_ROUNDS sets how often.
#
# (A loader that rejoined after its session had timed out was once fenced by a
# request of its own that still carried its earlier member id.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Track::Kill;
use Track::Oracle;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new();
$stack->start();
my $oracle = Track::Oracle->new($stack);
wait_accepting($stack);

my $rounds = $ENV{TRACK_KILL_ROUNDS} || 30;
my $pid = $stack->pid('loader');
my $load = $oracle->start(url => $stack->env('TRACK_URL') . '/track',
    seconds => 30 * $rounds, rate => 200);

for my $n (1 .. $rounds) {
    $stack->kill_part('kafka');
    Time::HiRes::sleep(rand 5);
    $stack->start('kafka');
    Time::HiRes::sleep(2 + rand 7);
    is($stack->env('PID_LOADER'), $pid, "kill $n: the loader lives") or last;
}

my $summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'every verdict was right');
$oracle->check('log and rows are what was promised', wait => 90);
$stack->tail_logs('loader') if failing();

done_testing();
