#!/usr/bin/perl

# dev/demo, README's first command: --once prints the rows of one visit and ends
# with 0; with a service stopped it ends otherwise and says which; without --once
# it goes on until Ctrl-C.  No process is left.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use POSIX ();
use Test::More;

use Track::ClickHouse;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new();
my @demo = (root() . '/dev/demo', $stack->adopt());


# --- from nothing ---

my $demo = run({ timeout => 180 }, @demo, '--once');
is($demo->{rc}, 0, '--once ends with 0') or diag($demo->{out}, $demo->{err});
my ($told) = $demo->{out} =~ /told about (\d+) events/;
cmp_ok($told // 0, '>=', 5, 'a visit with some events');
like($demo->{out}, qr/\b$_\b/, "a row of $_ is shown")
    for qw(page_view product_view add_to_cart purchase);
like($demo->{out}, qr/$told rows, each as the browser was told/,
    'as many rows as verdicts');
is_deeply([$stack->processes()], [], 'what it started is stopped');


# --- on a stack that runs ---

$stack->start();
my %pid = map { $_ => $stack->pid($_) } qw(nginx loader kafka);
$demo = run({ timeout => 120 }, @demo, '--once');
is($demo->{rc}, 0, '--once on a stack that runs: 0')
    or diag($demo->{out}, $demo->{err});
is_deeply({ map { $_ => $stack->pid($_) } keys %pid }, \%pid,
    'which is used and left running');

for my $part (qw(loader nginx)) {
    $stack->stop($part);
    $demo = run({ timeout => 120 }, @demo, '--once');
    isnt($demo->{rc}, 0, "$part stopped: another status");
    like($demo->{out} . $demo->{err}, qr/\b$part stopped/,
        "$part stopped: and it says so");
    unlike($demo->{err}, qr/Traceback/, "$part stopped: in a sentence");
    $stack->start($part);
}
$stack->stop();


# --- until Ctrl-C ---

my $log = File::Temp->new();
my $pid = background($log->filename, @demo, '--rate', 50, '--every', 5);
my $url = 'http://127.0.0.1:' . $stack->port('clickhouse');

wait_for(60, 'live counts', sub {
    (eval { clickhouse_value($url, 'SELECT count() FROM events') } // 0) > 100
});
like(slurp($log->filename), qr{shop\s+http://127\.0\.0\.1:@{[$stack->base]}/},
    'it prints what to open');
wait_for(30, 'a live line', sub { slurp($log->filename) =~ /accepted.*rows \d/ });
ends_by('INT', 'Ctrl-C');

$pid = background($log->filename, @demo, '--rate', 0);
wait_for(60, 'the demo to be at work',
    sub { eval { $stack->pid('loader') } });
ends_by('HUP', 'a terminal that closes');


sub ends_by {
    my ($signal, $what) = @_;
    kill $signal, $pid;
    my $ended = eval { wait_for(60, 'the demo to end',
        sub { waitpid($pid, POSIX::WNOHANG()) == $pid }) };
    ok($ended, "$what ends it") or diag(slurp($log->filename));
    is_deeply([$stack->processes()], [], 'and leaves no process');
}


my $help = run($demo[0], '--help');
is($help->{rc}, 0, '--help: 0');
like($help->{out}, qr/--once/, 'names --once');

done_testing();
