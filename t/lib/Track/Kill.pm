package Track::Kill;

# Rounds of kill -9 under load, shared by the short and the long kill test: an
# nginx worker, the loader, the broker and ClickHouse die at random moments,
# sometimes two at once, and are started again.  After each round the oracle
# compares promises, log and rows.

use strict;
use warnings;

use Exporter 'import';
use List::Util ();
use Test::More ();
use Time::HiRes ();

use Track::HTTP;
use Track::Oracle;
use Track::Stack;
use Track::Util;

our @EXPORT = qw(kill_rounds wait_accepting);


sub kill_rounds {
    my ($rounds) = @_;
    my $seed = $ENV{TRACK_SEED} || time;
    Test::More::diag("TRACK_SEED=$seed") if $rounds > 1;
    Test::More::note("TRACK_SEED=$seed");
    srand $seed;

    my $stack = Track::Stack->new();
    $stack->start();
    my $oracle = Track::Oracle->new($stack);
    wait_accepting($stack);

    for my $n (1 .. $rounds) {
        _round($stack, $oracle, "round $n") or last;
    }

    return $stack;
}


sub _round {
    my ($stack, $oracle, $name) = @_;
    my $load = $oracle->start(url => $stack->env('TRACK_URL') . '/track',
        seconds => 300, rate => 400);
    my @killed;

    # The loader most often: its windows are the smallest.
    for my $victims (List::Util::shuffle(['worker'], ['loader'], ['loader'],
        ['loader'], ['kafka'], ['clickhouse'], _two()))
    {
        Time::HiRes::sleep(0.3 + rand 1.2);
        _kill($stack, $_) for @$victims;
        Time::HiRes::sleep(rand 1) if rand() < 0.3;
        _revive($stack, $_) for @$victims;
        push @killed, join '+', @$victims;
    }

    Time::HiRes::sleep(1);
    wait_accepting($stack);
    my $summary = $oracle->finish($load);
    Test::More::note("$name: killed @killed; ", json_encode($summary));

    my $good = Test::More::is_deeply($summary->{wrong}, [],
        "$name: every verdict was right");
    $good &= Test::More::cmp_ok($summary->{verdicts}{acked} || 0, '>', 300,
        "$name: of many");

    return $oracle->check("$name: log and rows are what was promised",
        wait => 90) && $good;
}


sub _two {
    return [(List::Util::shuffle(qw(worker loader kafka clickhouse)))[0, 1]];
}


sub _kill {
    my ($stack, $victim) = @_;

    return $stack->kill_part($victim) if $victim ne 'worker';

    my @workers = split ' ',
        run('ps', '-o', 'pid=', '--ppid', $stack->pid('nginx'))->{out};
    kill 'KILL', $workers[rand @workers];
}


# A killed worker's master starts another by itself.
sub _revive {
    my ($stack, $victim) = @_;
    $stack->start($victim) if $victim ne 'worker';
}


sub wait_accepting {
    my ($stack) = @_;

    wait_for(30, 'the endpoint to take events', sub {
        my $r = eval { Track::HTTP->new($stack->port('nginx'))
            ->post('/track', '{"event_type":"no such type"}') };
        return $r && $r->{status} == 422;
    });
}


1;
