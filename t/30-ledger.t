#!/usr/bin/perl

# The ledger's check from the topics, on beats and events made up for it: what
# is right passes, and each fault is found under its name.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Kafka;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new('kafka');
my $brokers = $stack->env('KAFKA_BROKERS');
my $now = int(now() * 1000);
my $case = 0;


# A beat of edge "a", good by itself; undef takes a member out.
sub beat {
    my (%change) = @_;
    my %beat = (edge => 'a', host => 'h', worker => 1, n => $now,
        started_at => rfc3339($now - 5000), at => rfc3339($now), from => 0,
        upto => 10, void => [], lost => [], spool => [], accepted => 8,
        rejected => 2, %change);

    delete $beat{$_} for grep { !defined $beat{$_} } keys %beat;
    return \%beat;
}

# Events of edge "a" with these numbers.
sub events {
    return map { { edge => 'a', seq => $_, event_id => "id-$_" } } @_;
}

# Beats and events of a case in topics of its own, and what is said of them.
sub check {
    my ($beats, $events, @more) = @_;
    $case++;

    my %topic = ("l-$case" => $beats, "e-$case" => $events);

    for my $name (sort keys %topic) {
        run_ok(root() . '/t/lib/kafka-admin', $brokers, 'create-topic',
            $name, 1);
        kafka_produce($brokers, $name,
            join("\x01", map { json_encode($_) } @{ $topic{$name} }), 'a')
            if @{ $topic{$name} };
    }

    return run({ timeout => 60 }, 'python3', root() . '/t/oracle/ledger.py',
        '--kafka', $brokers, '--ledger', "l-$case", '--numbered', "e-$case",
        '--wait', 0, @more);
}

sub good {
    my ($name, @check) = @_;
    my $got = check(@check);

    is($got->{rc}, 0, "$name: all is well") or diag($got->{out}, $got->{err});
    return json_decode($got->{out} =~ /^(\{.*\})$/m ? $1 : '{}');
}

sub bad {
    my ($name, $kind, @check) = @_;
    my $got = check(@check);

    is($got->{rc}, 1, "$name: the check fails");
    is(join(', ', sort $got->{out} =~ /^([a-z ]+): \d+$/mg), $kind,
        "$name: $kind") or diag($got->{out}, $got->{err});
}


good('nothing', [], []);
good('ten events', [beat()], [events(1 .. 10)]);

is_deeply(
    good('some are void, lost, in a spool', [
        beat(void => [[2, 3]], lost => [[4, 4]], spool => [[5, 6], [10, 10]]),
    ], [events(1, 3, 7 .. 9, 7)]),
    { edges => 1, ended => 0, unfinished => 0, numbers => 10, void => 2, lost => 1,
      spool => 3, 'void, but there' => 1, 'lost, but there' => 0, twice => 1 },
    'and counted');

good('two beats, the first delivered twice', [
    beat(upto => 5, accepted => 5, rejected => 0, void => [[1, 1]]),
    beat(upto => 5, accepted => 5, rejected => 0, void => [[1, 1]],
         n => $now + 1),
    beat(from => 5, n => $now + 2, end => \1),
], [events(2 .. 10)]);

good('the spool was drained', [
    beat(spool => [[1, 9]]),
    beat(n => $now + 5, from => undef, upto => undef, spool => []),
], [events(1 .. 10)], '--drained');

good('a beat in parts', [
    beat(part => 2, parts => 2, spool => [[7, 7]]),
    beat(part => 1, parts => 2, void => [[2, 2]], spool => [[1, 1]]),
], [events(3 .. 6, 8 .. 10)]);

good('events of other producers', [beat()],
    [events(1 .. 10), { event_id => 'x' }, { edge => 'a' }]);


bad('an event that is nowhere', 'missing', [beat()], [events(1 .. 8, 10)]);

bad('a spool that was replaced', 'missing', [
    beat(spool => [[1, 9]]), beat(n => $now + 5, spool => [[1, 8]]),
], [events(10)]);

bad('half a beat says nothing', 'unfinished, untold',
    [beat(part => 2, parts => 2)], [events(1 .. 10)]);

bad('a beat that was lost', 'beats leave a gap',
    [beat(from => 4)], [events(1 .. 10)]);

bad('a number for two events', 'number given twice', [beat()],
    [events(1 .. 10), { edge => 'a', seq => 3, event_id => 'another' }]);

bad('a number after the end', 'number after the end',
    [beat(end => \1)], [events(1 .. 11)]);

bad('an edge without beats', 'unfinished, untold', [], [events(1)]);

bad('an edge that fell silent', 'unfinished',
    [beat(at => rfc3339($now - 100_000))], [events(1 .. 10)]);

good('it died with all of nginx', [
    beat(at => rfc3339($now - 100_000), upto => 8),
], [events(1 .. 10)], '--died');

bad('void beyond upto', 'beat speaks of what it does not cover',
    [beat(void => [[10, 11]])], [events(1 .. 10)]);

bad('fewer numbered than told', 'beat counts other than it numbers',
    [beat(accepted => 7)], [events(1 .. 10)]);

bad('an end that leaves some open', 'beat counts other than it numbers',
    [beat(accepted => 9, end => \1)], [events(1 .. 10)]);

bad('a spool that should be empty', 'still in a spool',
    [beat(spool => [[1, 1]])], [events(2 .. 10)], '--drained');

bad('what is no beat', 'not a beat', [beat(), events(1)],
    [events(1 .. 10)]);

done_testing();
