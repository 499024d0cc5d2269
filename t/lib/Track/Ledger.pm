package Track::Ledger;

# The ledger's topic, for tests: what its beats say of each edge, and whether
# they agree with the topics of events (t/oracle/ledger.py).

use strict;
use warnings;

use Exporter 'import';
use Test::More ();

use Track::Kafka;
use Track::Util;

our @EXPORT = qw(beats edges wait_edges ledger_ok);


# All beats in the topic, decoded, in the order of n.
sub beats {
    my ($stack) = @_;

    return sort { $a->{n} <=> $b->{n} } map { json_decode($_->{value}) }
        kafka_records($stack->env('KAFKA_BROKERS'), 'tracking_ledger');
}


# edge => { upto, end, accepted, rejected, void, lost, spool, host, worker,
# n, beats (how many) }: all beats united; ranges as a sorted list of numbers.
sub edges {
    my ($stack) = @_;
    my %edge;

    for my $beat (beats($stack)) {
        my $edge = $edge{ $beat->{edge} } ||= { upto => 0, beats => 0 };

        $edge->{beats}++;
        $edge->{spool} = _numbers($beat->{spool}) if $beat->{spool};
        $edge->{n} = $beat->{n};
        next if !defined $beat->{upto};

        for my $kind (qw(void lost)) {
            my %all = map { $_ => 1 } @{ $edge->{$kind} || [] },
                @{ _numbers($beat->{$kind}) };
            $edge->{$kind} = [sort { $a <=> $b } keys %all];
        }
        $edge->{$_} = $beat->{$_} for grep { defined $beat->{$_} }
            qw(end accepted rejected host worker started_at);
        $edge->{upto} = $beat->{upto} if $beat->{upto} > $edge->{upto};
    }

    return \%edge;
}

sub _numbers {
    return [map { $_->[0] .. $_->[1] } @{ $_[0] }];
}


# Until the edges are as $code wants them; it gets them, and returns true.
# Returns them.
sub wait_edges {
    my ($stack, $what, $code, $seconds) = @_;
    my $edges;

    wait_for($seconds || 15, $what, sub {
        $edges = edges($stack);
        return $code->($edges);
    });

    return $edges;
}


# ok() that the equation holds; returns the summary.  Arguments as ledger.py
# has them: wait, silent, numbered => [topics]; drained, died => 1.
sub ledger_ok {
    my ($stack, $name, %arg) = @_;
    my @arguments;

    $arg{wait} //= 20;
    for my $key (sort keys %arg) {
        push @arguments, "--$key", ref $arg{$key} ? @{ $arg{$key} }
            : $key =~ /^(?:drained|died)$/ ? () : $arg{$key};
    }

    my $got = run({ timeout => $arg{wait} + 120 }, 'python3',
        root() . '/t/oracle/ledger.py', '--kafka',
        $stack->env('KAFKA_BROKERS'), @arguments);

    Test::More::diag($got->{out}, $got->{err})
        if !Test::More::is($got->{rc}, 0, $name);

    return json_decode($got->{out} =~ /^(\{.*\})$/m ? $1 : '{}');
}


1;
