package Track::Oracle;

# t/oracle from a test file: a load in the background, and the comparison of
# what it was told with what Kafka and ClickHouse hold.

use strict;
use warnings;

use File::Temp ();
use POSIX ();
use Test::More ();

use Track::Util;

my $DIR = root() . '/t/oracle';


# Track::Oracle->new($stack): defines the load's event type in the stack's
# PostgreSQL.
sub new {
    my ($class, $stack) = @_;

    $stack->psql(run_ok('python3', "$DIR/load.py", '--schema'));

    return bless {
        stack => $stack,
        dir   => File::Temp::tempdir('track-oracle-XXXXXX', TMPDIR => 1,
                                     CLEANUP => 1),
        loads => [],
    }, $class;
}


# Starts a load; returns a handle for finish().  Arguments as load.py has them:
# url (needed), seconds, rate, connections, invalid, seed.
sub start {
    my ($self, %arg) = @_;
    my $n = @{ $self->{loads} } + 1;
    my $base = "$self->{dir}/load-$n";

    my $pid = background("$base.log", 'python3', "$DIR/load.py",
        '--out', "$base.jsonl", '--seed', $n,
        map { ("--$_", $arg{$_}) } sort keys %arg);
    push @{ $self->{loads} }, "$base.jsonl";

    return { pid => $pid, log => "$base.log" };
}


# Ends a load (at once, or when its seconds are over) and returns its summary:
# { verdicts, answers, wrong }.
sub finish {
    my ($self, $load, %arg) = @_;

    kill 'TERM', $load->{pid} if !$arg{wait};
    wait_for(120, 'the load to end',
        sub { waitpid($load->{pid}, POSIX::WNOHANG()) != 0 });

    my $text = slurp($load->{log});
    my ($json) = $text =~ /^(\{.*\})$/m or die "the load ended with:\n$text\n";

    return json_decode($json);
}


# ok() that Kafka's log, and ClickHouse unless log_only, hold what they must, and
# that the ledger, unless it is 0, agrees; `died` and `drained` are ledger.py's.
sub check {
    my ($self, $name, %arg) = @_;
    my $stack = $self->{stack};
    my $wait = $arg{wait} || 60;
    my @ledger = defined $arg{ledger} && !$arg{ledger} ? ()
        : ('--ledger', 'tracking_ledger',
           map { $arg{$_} ? "--$_" : () } qw(died drained));

    my $got = run({ timeout => 2 * $wait + 240 },
        'python3', "$DIR/check.py", '--kafka', $stack->env('KAFKA_BROKERS'),
        $arg{log_only} ? ()
            : ('--clickhouse', $stack->env('CLICKHOUSE_URL')),
        '--wait', $wait, @ledger, @{ $self->{loads} });

    Test::More::diag($got->{out}, $got->{err})
        if !Test::More::is($got->{rc}, 0, $name);
    Test::More::note($got->{out}) if $got->{rc} == 0;

    return $got->{rc} == 0;
}


1;
