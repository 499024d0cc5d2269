#!/usr/bin/perl

# dev/stack itself: two stacks side by side, a port in use, a second start, a
# killed service, Ctrl-C; and no process is left.

use strict;
use warnings;

use File::Path ();
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET ();
use Test::More;

use Track::Stack;
use Track::Util;


# --- two side by side ---

my $one = Track::Stack->new();
my $two = Track::Stack->new();

my @starts = map { $_->begin_start() } $one, $two;
for (@starts) {
    waitpid $_, 0;
    is($?, 0, 'two starts at once: each returns 0');
}

for my $stack ($one, $two) {
    my $status = run($stack->command('status'));
    is($status->{rc}, 0, $stack->name . ': status 0');
    is(scalar(() = $status->{out} =~ /answers/g), 5, 'all five parts answer');
    like(run_ok('curl', '-sS', '-m', 10, $stack->env('TRACK_URL') . '/'),
        qr/<html/i, 'the shop is served');
    like($stack->env('LOADER_URL'), qr{^http://127\.0\.0\.1:\d+$}, 'LOADER_URL');
}
isnt($one->pid('nginx'), $two->pid('nginx'), 'each has its own nginx');

my $env = run_ok('sh', '-c', 'eval "$("$@")"; echo "$KAFKA_BROKERS $RUN_DIR"',
    'sh', $one->command('env'));
is($env, sprintf("127.0.0.1:%d %s\n", $one->port('kafka'), $one->dir),
    'env is for eval in a shell');


# --- start again, after a death ---

my %before = map { $_ => $one->pid($_) } qw(postgres kafka nginx);
$one->kill_part('clickhouse');
my $status = run($one->command('status'));
isnt($status->{rc}, 0, 'a dead service: status is not 0');
like($status->{out}, qr/^clickhouse\s+silent/m, 'and says which');
$one->start();
is_deeply({ map { $_ => $one->pid($_) } keys %before }, \%before,
    'start leaves alone what runs');
is(run($one->command('status'))->{rc}, 0, 'and starts what does not');

$two->stop();
is(run($one->command('status'))->{rc}, 0, 'stopping one leaves the other');
is_deeply([$two->processes()], [], 'of the stopped one no process is left');


# --- a port in use ---

my $thief = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
    LocalPort => $two->port('kafka'), ReuseAddr => 1) or die "no port: $!\n";
my $refused = run({ timeout => 60 }, $two->command('start'));
isnt($refused->{rc}, 0, 'a port in use: start fails');
my $port = $two->port('kafka');
like($refused->{err}, qr/kafka.*port $port is in use/, 'and says which, and'
    . ' whose') or diag($refused->{err});
like($refused->{err}, qr/pid $$\b/, 'and who holds it');
unlike($refused->{err}, qr/Traceback/, 'in a sentence');
close $thief;
$two->stop();


# --- Ctrl-C ---

for my $after (0.3, 1, 2.5) {
    File::Path::remove_tree($two->dir);     # so that a start takes its time
    my $pid = $two->begin_start();
    Time::HiRes::sleep($after);
    kill 'INT', -$pid;
    waitpid $pid, 0;
    isnt($?, 0, "interrupted after $after s");
    is_deeply([$two->processes()], [], 'no process is left');
}

# initdb runs servers of its own, which outlived it for a moment.
File::Path::remove_tree($two->dir);
my $starting = $two->begin_start();
wait_for(20, 'a server of initdb', sub {
    grep { (eval { slurp("/proc/$_/cmdline") } // '') =~ m{bin/postgres\0} }
        $two->processes()
});
kill 'INT', -$starting;
waitpid $starting, 0;
is_deeply([$two->processes()], [], 'interrupted in initdb: none either');

$one->stop();
is_deeply([$one->processes()], [], 'stop leaves no process');


# --- words ---

for my $option ('--help', '-h') {
    my $help = run(root() . '/dev/stack', $option);
    is($help->{rc}, 0, "$option: 0");
    like($help->{out}, qr/start.*stop.*status.*env.*logs/s, 'names its commands');
}

my $wrong = run(root() . '/dev/stack', 'start', 'mysql');
isnt($wrong->{rc}, 0, 'an unknown part is refused');
like($wrong->{err}, qr/mysql/, 'by its name');

done_testing();
