package Track::Prometheus;

# A strict reader of Prometheus' text format, version 0.0.4: what promtool would
# complain about makes it die.  No metric without HELP and TYPE, all lines of one
# together, no series twice, counters named *_total, histograms complete.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(prometheus_parse prometheus_value);

my $NAME = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $LABEL = qr/[a-zA-Z_][a-zA-Z0-9_]*/;
my $VALUE = qr/[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN/;


# { metric => { type, help, samples => [{ name, labels => {}, value }] } }
sub prometheus_parse {
    my ($text) = @_;
    my (%metric, %seen, $now);

    die "the last line has no end\n" if $text !~ /\n\z/;

    for my $line (split /\n/, $text, -1) {
        next if $line eq '';

        if ($line =~ /^# HELP ($NAME) (\S.*)$/) {
            die "$1 comes twice\n" if $metric{$1};
            $now = $metric{$1} = { name => $1, help => $2, samples => [] };

        } elsif ($line =~ /^# TYPE ($NAME) (counter|gauge|histogram)$/) {
            die "TYPE of $1 is not behind its HELP\n"
                if !$now || $now->{name} ne $1 || $now->{type};
            $now->{type} = $2;

        } else {
            my $sample = _sample($line);
            die "$line: not under its own HELP and TYPE\n"
                if !$now || !$now->{type} || !_belongs($now, $sample->{name});
            die "$line: comes twice\n" if $seen{ _key($sample) }++;
            push @{ $now->{samples} }, $sample;
        }
    }

    _check($_) for values %metric;
    return \%metric;
}


sub _sample {
    my ($line) = @_;

    $line =~ /\G($NAME)/gc or die "$line: no name\n";
    my $sample = { name => $1, labels => {} };

    if ($line =~ /\G\{/gc) {
        do {
            $line =~ /\G($LABEL)="((?:[^"\\]|\\[\\"n])*)"/gc
                or die "$line: bad label at " . pos($line) . "\n";
            my ($name, $value) = ($1, $2);
            die "$line: $name twice\n" if exists $sample->{labels}{$name};
            $sample->{labels}{$name} =
                $value =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ger;
        } while $line =~ /\G,/gc;
        $line =~ /\G\}/gc or die "$line: labels do not end\n";
    }

    $line =~ /\G ($VALUE)$/gc or die "$line: bad value\n";
    $sample->{value} = $1;

    return $sample;
}


sub _belongs {
    my ($metric, $name) = @_;

    return $metric->{type} eq 'histogram'
        ? $name =~ /^\Q$metric->{name}\E_(?:bucket|sum|count)$/
        : $name eq $metric->{name};
}


sub _key {
    my ($sample, @without) = @_;
    my %labels = %{ $sample->{labels} };

    delete @labels{@without};
    return join "\0", $sample->{name}, map { ($_, $labels{$_}) }
        sort keys %labels;
}


sub _check {
    my ($metric) = @_;

    die "$metric->{name} has no TYPE\n" if !$metric->{type};
    die "$metric->{name}: a counter's name ends in _total\n"
        if ($metric->{type} eq 'counter') != ($metric->{name} =~ /_total$/);

    if ($metric->{type} eq 'counter') {
        $_->{value} =~ /^\d+$/ or die "$metric->{name}: $_->{value}\n"
            for @{ $metric->{samples} };
    }

    _check_histogram($metric) if $metric->{type} eq 'histogram';
}


sub _check_histogram {
    my ($metric) = @_;
    my (%bucket, %end);

    for my $sample (@{ $metric->{samples} }) {
        my ($part) = $sample->{name} =~ /_([a-z]+)$/;
        local $sample->{name} = $metric->{name};
        my $key = _key($sample, 'le');

        if ($part eq 'bucket') {
            my $last = $bucket{$key};
            die "$key: buckets must grow\n" if $last
                && ($sample->{value} < $last->{value}
                    || $last->{labels}{le} >= $sample->{labels}{le});
            $bucket{$key} = $sample;
        } else {
            $end{$key}{$part} = $sample->{value};
        }
    }

    for my $key (keys %bucket) {
        die "$key: the last bucket must be +Inf, and the count\n"
            if $bucket{$key}{labels}{le} ne '+Inf'
               || $bucket{$key}{value} != $end{$key}{count}
               || !defined $end{$key}{sum};
    }
}


# The value of the only sample with that name and these labels, or undef.
sub prometheus_value {
    my ($metrics, $name, %labels) = @_;
    my $metric = $metrics->{$name}
        || $metrics->{ $name =~ s/_(?:bucket|sum|count)$//r } || {};
    my @found = grep {
        my $sample = $_;
        $sample->{name} eq $name && !grep {
            ($sample->{labels}{$_} // '') ne $labels{$_} } keys %labels;
    } @{ $metric->{samples} || [] };

    return @found == 1 ? $found[0]{value} : undef;
}


1;
