package Track::Kafka;

# Reads topics with kcat, records as bytes; writes records that no nginx wrote.

use strict;
use warnings;

use Exporter 'import';

use Track::Util;

our @EXPORT = qw(kafka_records kafka_produce);

my $FORMAT = '%p %o %T %K %S\n%k%s\n%h\n';


# kafka_records($brokers, $topic) -> list of { partition, offset, time (ms),
# key, value, headers (as kcat prints them) }: everything in the topic now,
# ordered by partition and offset.
sub kafka_records {
    my ($brokers, $topic) = @_;
    my $text = run_ok({ timeout => 40 },
        'kcat', '-C', '-b', $brokers, '-t', $topic, '-o', 'beginning', '-e',
        '-q', '-X', 'fetch.wait.max.ms=50',
        '-X', 'topic.metadata.refresh.sparse=true', '-f', $FORMAT);
    return sort {
        $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset}
    } _parse(\$text);
}


# Takes kcat's output apart by the lengths in it: keys and values may hold any
# byte.  A length of -1 is NULL.
sub _parse {
    my ($text) = @_;
    my $at = 0;
    my @records;

    my $line = sub {
        my $end = index $$text, "\n", $at;
        my $line = substr $$text, $at, $end - $at;
        $at = $end + 1;
        return $line;
    };
    my $bytes = sub {
        my ($n) = @_;
        return undef if $n < 0;
        $at += $n;
        return substr $$text, $at - $n, $n;
    };

    while ($at < length $$text) {
        my %record;
        my ($key, $value);
        (@record{qw(partition offset time)}, $key, $value) =
            split ' ', $line->();
        $record{key} = $bytes->($key);
        $record{value} = $bytes->($value);
        $line->();
        $record{headers} = $line->();
        push @records, \%record;
    }

    return @records;
}


# Writes one record; key may be undef.
sub kafka_produce {
    my ($brokers, $topic, $value, $key, @more) = @_;

    # kcat splits its input at the delimiter: one that no JSON text contains.
    run_ok({ in => $value, timeout => 30 }, 'kcat', '-P', '-b', $brokers,
        '-t', $topic, '-X', 'acks=all', '-D', "\x01",
        defined $key ? ('-k', $key) : (), @more);
}


1;
