package Track::Live;

# A listener of track_live: reads server-sent events off a chunked response, one
# at a time, each under a deadline.

use strict;
use warnings;

use IO::Select ();

use Track::HTTP;
use Track::Util;


# Track::Live->new($port, $token, %header): connects to /live and reads the
# header, see status() and header().  `path` and others go into the request.
sub new {
    my ($class, $port, $token, %header) = @_;
    my $path = delete $header{path} || '/live';
    my $http = Track::HTTP->new($port);

    $http->write($http->request($path, '', ':method' => 'GET',
        'Content-Type' => undef, 'Content-Length' => undef,
        (defined $token ? (Authorization => "Bearer $token") : ()), %header));

    my $self = bless { http => $http, raw => '', text => '' }, $class;
    my $head = $self->_raw_until(qr/\r\n\r\n/, 10) // die "no answer\n";
    my ($first, @lines) = split /\r\n/, $head;
    ($self->{status}) = $first =~ m{^HTTP/1\.1 (\d{3})}
        or die "not HTTP: $first\n";
    $self->{header} = { map { /^([^:]+): *(.*)$/ ? (lc $1, $2) : () } @lines };

    return $self;
}


sub status { return $_[0]{status} }
sub header { return $_[0]{header} }
sub close  { $_[0]{http}->close() }


# The next event, without waiting longer than $seconds: { id, event, data,
# json, retry, comment }, as far as it has them.  undef: none came, or the
# stream has ended, see ended().
sub next {
    my ($self, $seconds) = @_;
    my $end = now() + ($seconds // 5);

    my $text;
    while (!defined $text) {
        if ($self->{text} =~ s/^(.*?)\n\n//s) {
            $text = $1;
        } else {
            return undef if $self->{ended} || !$self->_chunk($end);
        }
    }

    my %event;
    for (split /\n/, $text) {
        my ($name, $value) = /^(id|event|data|retry|): ?(.*)$/
            or die "not an event's line: $_\n";
        $name ||= 'comment';
        die "$name twice\n" if exists $event{$name};
        $event{$name} = $value;
    }
    $event{json} = json_decode($event{data}) if defined $event{data};

    return \%event;
}


# All verdicts until there is silence for so long; others go to @$others.
sub verdicts {
    my ($self, $silence, $others) = @_;
    my @found;

    while (my $event = $self->next($silence)) {
        if (($event->{event} // '') eq 'verdict') {
            push @found, $event;
        } else {
            push @$others, $event if $others;
        }
    }

    return @found;
}


# As verdicts(), but for so many, however long each takes.
sub take {
    my ($self, $n, $others) = @_;
    my @found;

    while (@found < $n) {
        my $event = $self->next(20) or last;
        if (($event->{event} // '') eq 'verdict') {
            push @found, $event;
        } elsif ($others) {
            push @$others, $event;
        }
    }

    return @found;
}


# All verdicts before the first that $code is true for, which is the last.
sub until_verdict {
    my ($self, $code, $others) = @_;
    my @found;

    while (my ($event) = $self->take(1, $others)) {
        push @found, $event;
        return @found if $code->($event->{json});
    }

    die "the stream has not what is waited for\n";
}


# 'whole': the response ended as it should; 'cut': it did not.
sub ended { return $_[0]{ended} }


sub _chunk {
    my ($self, $end) = @_;

    while (1) {
        if ($self->{raw} =~ /^([0-9a-f]+)\r\n/) {
            my ($size, $start) = (hex $1, $+[0]);

            if (length $self->{raw} >= $start + $size + 2) {
                $self->{text} .= substr $self->{raw}, $start, $size;
                substr $self->{raw}, 0, $start + $size + 2, '';
                $self->{ended} = 'whole' if $size == 0;
                return $size;
            }
        }

        return 0 if !$self->_more($end);
    }
}


sub _raw_until {
    my ($self, $mark, $seconds) = @_;
    my $end = now() + $seconds;

    while (1) {
        return $1 if $self->{raw} =~ s/^(.*?)$mark//s;
        return undef if !$self->_more($end);
    }
}


sub _more {
    my ($self, $end) = @_;
    my $left = $end - now();
    my $socket = $self->{http}->socket();

    return 0 if $self->{ended} || $left <= 0
        || !IO::Select->new($socket)->can_read($left);

    my $n = sysread $socket, $self->{raw}, 65536, length $self->{raw};
    $self->{ended} = 'cut' if !$n;

    return $n;
}


1;
