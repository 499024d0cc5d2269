package Track::Stack;

# A stack of real services for one test file: PostgreSQL, Kafka, ClickHouse,
# nginx, loader, as dev/stack runs them, under a name and on ports of its own,
# so that files may run in parallel and beside a developer's stack.  Started
# parts are stopped when the test ends, however it ends.  What a killed test
# left behind is stopped by the next one that gets its ports.

use strict;
use warnings;

use File::Basename ();
use File::Path ();
use Test::More ();

use Track::Port ();
use Track::Util;

my $DEV = root() . '/dev/stack';

# Offsets from the port base (dev/stack) and, from 10 on, of the test's own.
my %PORT = (nginx => 0, postgres => 1, kafka => 2, clickhouse => 4, loader => 6);


# Track::Stack->new(@parts): takes a name and ports; starts the parts given.
sub new {
    my ($class, @parts) = @_;

    my $base = Track::Port::port_block(\&_clear);
    my $self = bless {
        base => $base,
        name => _name($base),
        own  => 10,
    }, $class;

    at_end(sub { $self->_finish() });
    $self->start(@parts) if @parts;

    return $self;
}


sub name { return $_[0]{name} }
sub base { return $_[0]{base} }
sub dir  { return _dir($_[0]{base}) }
sub port { return $_[0]{base} + $PORT{$_[1]} }

# A port of the block that the stack itself does not use.
sub free_port {
    my ($self) = @_;

    die "no more ports in this block\n" if $self->{own} >= Track::Port::SIZE;
    return $self->{base} + $self->{own}++;
}


sub start {
    my ($self, @parts) = @_;

    $self->{used} = 1;
    delete $self->{env};
    run_ok({ timeout => 180 }, $self->command('start', @parts));
}


# start() in the background: the pid of dev/stack.
sub begin_start {
    my ($self, @parts) = @_;

    $self->adopt();
    return background('/dev/null', $self->command('start', @parts));
}


# Others start it under this name and on these ports; it is stopped at the end.
sub adopt {
    my ($self) = @_;

    $self->{used} = 1;
    delete $self->{env};

    return ('--name', $self->{name}, '--port-base', $self->{base});
}


# Pids of everything that works in the stack's folder.
sub processes {
    my ($self) = @_;
    my $dir = $self->dir;

    return grep {
        my $cwd = readlink "/proc/$_/cwd";
        my $command = eval { slurp("/proc/$_/cmdline") } // '';
        ($cwd // '') =~ /^\Q$dir\E/ || $command =~ /\Q$dir\E/;
    } map { m{/(\d+)$} } glob '/proc/[0-9]*';
}


sub stop {
    my ($self, @parts) = @_;

    delete $self->{env};
    run_ok({ timeout => 120 }, $self->command('stop', @parts));
}


# The dev/stack command line for this stack.
sub command {
    my ($self, $verb, @parts) = @_;

    return ($DEV, '--name', $self->{name}, '--port-base', $self->{base},
            $verb, @parts);
}


# env('KAFKA_BROKERS'): one of dev/stack's shell assignments, now.  Pids change
# with every start, so they are asked for anew each time; the rest is kept.
sub env {
    my ($self, $name) = @_;

    delete $self->{env} if $name =~ /^PID_/;
    $self->{env} ||= _assignments(run_ok($self->command('env')));
    my $value = $self->{env}{$name};
    die "dev/stack env does not print $name\n" if !defined $value;

    return $value;
}


sub _assignments {
    my ($text) = @_;
    my %env;

    for my $line (split /\n/, $text) {
        $line =~ /^(?:export )?(\w+)=(.*)$/ or next;
        my ($name, $value) = ($1, $2);
        $value =~ s/^(['"])(.*)\1$/$2/;
        $env{$name} = $value;
    }

    return \%env;
}


sub pid {
    my ($self, $part) = @_;

    my $pid = $self->env('PID_' . uc $part);
    die "$part has no pid: does it run?\n" if $pid !~ /^[1-9]\d*$/;

    return $pid;
}


# kill -9, and wait until the process is really gone.
sub kill_part {
    my ($self, $part) = @_;
    my $pid = $self->pid($part);

    kill 'KILL', $pid or die "cannot kill $part ($pid): $!\n";
    wait_for(10, "$part ($pid) to die", sub { !kill 0, $pid });
}


# Sends a signal to a part and all its processes: STOP makes it hang as a
# machine does that has lost its network, CONT wakes it up.
sub signal {
    my ($self, $part, $name) = @_;
    my $pid = $self->pid($part);

    kill $name, $pid, split ' ', run('ps', '-o', 'pid=', '--ppid', $pid)->{out};
}


# SQL in psql, as the superuser: what a DBA would type.  Returns its output,
# unaligned and without headings.
sub psql {
    my ($self, $sql) = @_;
    utf8::encode($sql) if utf8::is_utf8($sql);

    return run_ok({ in => $sql, env => { PGOPTIONS =>
            '-c client_min_messages=warning' } }, 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1',
        '-d', $self->env('DATABASE_URL'));
}


# define('type', \%option, name => 'int', other => 'string!'): an event type
# with its fields; "!" marks required ones.  Options: columns of event_types.
sub define {
    my ($self, $type, @fields) = @_;
    my $option = ref $fields[0] eq 'HASH' ? shift @fields : {};
    my @columns = ('name', sort keys %$option);
    my @values = map { _literal($_) }
        $type, map { $option->{$_} } sort keys %$option;
    my @rows;

    while (my ($name, $data_type) = splice @fields, 0, 2) {
        my $required = $data_type =~ s/!$// ? 'true' : 'false';
        push @rows, sprintf '(%s, %s, %s)', _literal($name),
            _literal($data_type), $required;
    }

    my $insert = sprintf 'INSERT INTO event_types (%s) VALUES (%s)',
        join(', ', @columns), join(', ', @values);

    return $self->psql("$insert;") if !@rows;
    return $self->psql("WITH t AS ($insert RETURNING id)
        INSERT INTO event_fields (event_type_id, name, data_type, required)
        SELECT t.id, f.* FROM t, (VALUES " . join(', ', @rows) . ') f;');
}

sub _literal {
    my ($text) = @_;

    $text =~ s/'/''/g;
    return "'$text'";
}


# For those who show why a test failed.
sub tail_logs {
    my ($self, @parts) = @_;
    my $got = run($self->command('logs', @parts));

    Test::More::diag(substr $got->{out}, -6000);
}


sub _finish {
    my ($self) = @_;
    return if !$self->{used};

    if (failing()) {
        my $keep = root() . '/.run/failed-' . File::Basename::basename($0)
            . "-$self->{base}";
        $self->stop();
        File::Path::remove_tree($keep);
        rename $self->dir, $keep;
        Test::More::diag("what the services wrote is kept in $keep");
        return;
    }

    $self->stop();
    File::Path::remove_tree($self->dir) if !$ENV{TRACK_TEST_KEEP};
}


# What a test that was killed with -9 left on these ports.
sub _clear {
    my ($base) = @_;
    return if !-d _dir($base);

    run({ timeout => 120 }, $DEV, '--name', _name($base), '--port-base',
        $base, 'stop');
    File::Path::remove_tree(_dir($base));
}

sub _name { return "test-$_[0]" }
sub _dir  { return root() . "/.run/test-$_[0]" }


1;
