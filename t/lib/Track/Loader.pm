package Track::Loader;

# Loaders that a test starts, stops and kills by itself, several on one stack,
# each with its own name in the group; records that no nginx wrote; and the
# question all their tests end with: does each offset stand exactly once?

use strict;
use warnings;

use HTTP::Tiny ();
use POSIX ();
use Test::More ();

use Track::ClickHouse;
use Track::Kafka;
use Track::Util;

my $PROGRAM = root() . '/build/track-loader';
my $TOPIC = 'tracking_events';


# Track::Loader->stack($stack, %option): the first loader of a stack of
# postgres, kafka and clickhouse; migrates.  Options: name, sections (more text
# for loader.conf by section), clickhouse (another URL).
sub stack {
    my ($class, $stack, %option) = @_;
    my $self = $class->new($stack, %option);

    $self->migrate();
    return $self;
}


sub migrate {
    my ($self) = @_;

    run_ok({ timeout => 60 }, $PROGRAM, '-c', $self->{conf}, 'migrate');
}


sub new {
    my ($class, $stack, %option) = @_;
    my $name = $option{name} || 'one';
    my $self = bless {
        stack => $stack,
        name  => $name,
        port  => $stack->free_port(),
        conf  => $stack->dir . "/loader-$name.conf",
        log   => $stack->dir . "/loader-$name.log",
    }, $class;

    spit($self->{conf}, $self->_conf(%option));
    return $self;
}


sub _conf {
    my ($self, %option) = @_;
    my $stack = $self->{stack};
    my $more = $option{sections} || {};
    my $postgres = 'host=127.0.0.1 dbname=track port=' . $stack->port('postgres');
    my %section = (
        kafka      => 'brokers = ' . $stack->env('KAFKA_BROKERS')
            . "\ninstance = $self->{name}",
        clickhouse => 'url = ' . ($option{clickhouse} || $stack->env('CLICKHOUSE_URL')),
        postgres   => "conninfo = $postgres user=track_loader",
        # killed ones are missed, and a group is empty, after so long
        'kafka.properties' => 'session.timeout.ms = 2000',
        http       => "listen = 127.0.0.1:$self->{port}",
        migrate    => "postgres = $postgres user=postgres\ndirectory = "
            . root() . '/migrations',
    );

    return join '', map {
        "[$_]\n" . ($section{$_} // '') . "\n" . ($more->{$_} // '') . "\n\n"
    } sort keys %{ { %section, %$more } };
}


sub start {
    my ($self) = @_;

    $self->{pid} = background($self->{log}, $PROGRAM, '-c', $self->{conf});
    return $self;
}


sub wait_ready {
    my ($self) = @_;

    wait_for(30, "loader $self->{name} to own partitions",
        sub { ($self->metric('partitions') // 0) > 0 });
    return $self;
}


sub pid { return $_[0]{pid} }
sub log { return -e $_[0]{log} ? slurp($_[0]{log}) : '' }

sub signal { kill $_[1], $_[0]{pid} }


# Waits for its end: (exit status or 128 + signal, seconds it took), or nothing
# when it still runs.
sub wait_end {
    my ($self, $seconds) = @_;
    my $begin = now();
    my $pid = $self->{pid};

    eval {
        wait_for($seconds, 'the loader to end',
            sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
    } or return;

    return ($? & 127 ? 128 + ($? & 127) : $? >> 8, now() - $begin);
}


# kill -9, and gone.
sub kill9 {
    my ($self) = @_;

    $self->signal('KILL');
    $self->wait_end(5);
}


# One of /metrics by its name without the prefix, or undef.
sub metric {
    my ($self, $name) = @_;
    my $response = HTTP::Tiny->new(timeout => 2)
        ->get("http://127.0.0.1:$self->{port}/metrics");

    return $response->{content} =~ /^track_loader_$name (\S+)$/m ? $1 : undef;
}


# Resident memory, in MB.
sub memory {
    my ($self) = @_;

    return slurp("/proc/$self->{pid}/status") =~ /^VmRSS:\s+(\d+)/m
        ? $1 / 1024 : 0;
}


# record($n, %more): a record's value; its time is fixed but for `day`, days
# before today.
sub record {
    my ($n, %more) = @_;
    my $day = delete $more{day} || 0;
    my $time = POSIX::strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime(time - 86400 * $day));

    return json_encode({
        event_type => 'made', event_id => uuid(), timestamp => $time,
        received_at => $time, session_id => "s$n", edge => 'feedfeedfeedfeed',
        seq => $n + 0, fields => {}, %more,
    });
}


# Writes values, one record each, to one partition, all at once.
sub produce {
    my ($stack, $partition, @values) = @_;

    kafka_produce($stack->env('KAFKA_BROKERS'), $TOPIC, join("\x01", @values),
        undef, '-p', $partition, '-X', 'message.max.bytes=1040000');
}


sub ch { my ($stack, $sql) = @_; return clickhouse_value($stack->env('CLICKHOUSE_URL'), $sql) }


# admin($stack, @command): as an operator, see t/lib/kafka-admin.  Waits until
# the broker agrees: a static member is in the group until its session ends.
sub admin {
    my ($stack, @command) = @_;
    my @full = (root() . '/t/lib/kafka-admin', $stack->env('KAFKA_BROKERS'), @command);

    return wait_for(40, "the broker to agree to @command", sub {
        my $got = run({ timeout => 30 }, @full);
        $got->{rc} == 0 && "$got->{out}\n";
    });
}


# Ends of the topic's partitions, by number.
sub log_ends {
    my ($stack) = @_;
    my $text = run_ok({ timeout => 30 }, 'kcat', '-Q', '-b',
        $stack->env('KAFKA_BROKERS'), map { ('-t', "$TOPIC:$_:-1") } 0 .. 3);

    return { $text =~ /\[(\d+)\] offset (\d+)/g };
}


# All offsets of the log stand exactly once, but for `dead` of them, which do
# not.  Waits until they do.
sub once_ok {
    my ($stack, $name, %option) = @_;
    my $ends = log_ends($stack);
    my $want = 0;
    $want += $_ for values %$ends;
    $want -= $option{dead} || 0;

    my $sql = 'SELECT count(), uniqExact(kafka_partition, kafka_offset) FROM track.events';
    my $got = '';
    eval {
        wait_for($option{wait} || 60, 'rows', sub {
            $got = eval { ch($stack, $sql) } // '';
            return $got =~ /^(\d+)/ && $1 >= $want;
        });
    };

    return Test::More::is($got, "$want\t$want", $name);
}


1;
