package Track::Util;

# What all helpers share: the tree's root, polling with a bound, running a
# command under a deadline, and clean-up that also happens after a failed
# test or Ctrl-C.  Used by test files only; keeps no state but the list of
# things to undo, which belongs to the process that entered them.

use strict;
use warnings;

use Cwd ();
use Exporter 'import';
use File::Basename ();
use JSON::PP ();
use POSIX ();
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(root slurp spit run run_ok wait_for now uuid rfc3339
    json_decode json_encode at_end failing background);

my $ROOT = Cwd::realpath(
    File::Basename::dirname(__FILE__) . '/../../..');

my $JSON = JSON::PP->new->utf8->canonical->allow_nonref;

my @undo;       # [pid, code]
my %running;    # commands that run() waits for: pid => our own pid
my $status = 0; # of the ending test; $? itself changes with every child


# Tests speak through pipes to processes that they kill.
$SIG{PIPE} = 'IGNORE';

# END blocks run for exit(), not for a signal's default action.
$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);


sub root { return $ROOT }

sub now { return Time::HiRes::time() }


sub slurp {
    my ($path) = @_;

    open my $fh, '<:raw', $path or die "cannot open $path: $!\n";
    local $/;
    my $bytes = <$fh>;

    return defined $bytes ? $bytes : '';
}


sub spit {
    my ($path, $bytes) = @_;

    open my $fh, '>:raw', $path or die "cannot write $path: $!\n";
    print {$fh} $bytes or die "cannot write $path: $!\n";
    close $fh or die "cannot write $path: $!\n";
}


# JSON as bytes, UTF-8.  Integers of 64 bits survive; what must be compared
# digit by digit is compared as text instead.
sub json_decode { return $JSON->decode($_[0]) }
sub json_encode { return $JSON->encode($_[0]) }


# wait_for($seconds, $what, $code): calls $code until it returns something
# true, which is returned; dies with a sentence when the time is over.
sub wait_for {
    my ($seconds, $what, $code) = @_;
    my $end = now() + $seconds;
    my $pause = 0.02;

    while (1) {
        my $got = $code->();
        return $got if $got;
        die sprintf("waited %g s for %s\n", $seconds, $what)
            if now() >= $end;

        Time::HiRes::sleep($pause);
        $pause = $pause * 1.5 > 0.25 ? 0.25 : $pause * 1.5;
    }
}


# run(\%option, @command) -> { rc, out, err, seconds }: waits for the command.
# Options: timeout (s, 60; then its process group is killed and rc is 124),
# in (bytes for its standard input), env (hash), dir.
sub run {
    my $option = ref $_[0] eq 'HASH' ? shift : {};
    my @command = @_;
    my $begin = now();
    my ($out, $err) = map { _scratch() } 1 .. 2;
    my $in = _scratch();

    syswrite $in, $option->{in} if defined $option->{in};
    sysseek $in, 0, 0;

    my $pid = _spawn($option, $in, $out, $err, @command);
    $running{$pid} = $$;
    my $rc = _reap($pid, $option->{timeout} || 60);
    delete $running{$pid};

    return {
        rc      => $rc,
        out     => _contents($out),
        err     => _contents($err),
        seconds => now() - $begin,
    };
}


# As run(), but a command that fails ends the test with what it said.
sub run_ok {
    my $option = ref $_[0] eq 'HASH' ? shift : {};
    my $got = run($option, @_);

    die "@_: exit status $got->{rc}\n$got->{out}$got->{err}\n"
        if $got->{rc} != 0;

    return $got->{out};
}


# Starts a command in the background, its output in the file $log; returns its
# pid.  It is its own process group, ended when the test ends.
sub background {
    my ($log, @command) = @_;
    my $option = ref $command[0] eq 'HASH' ? shift @command : {};

    open my $in, '<', '/dev/null' or die "/dev/null: $!\n";
    open my $out, '>>', $log or die "cannot write $log: $!\n";

    my $pid = _spawn($option, $in, $out, $out, @command);
    at_end(sub {
        return if waitpid($pid, POSIX::WNOHANG()) != 0;
        kill 'KILL', -$pid;
        waitpid $pid, 0;
    });

    return $pid;
}


sub _scratch {
    open my $fh, '+>', undef or die "cannot make a temporary file: $!\n";
    binmode $fh;
    return $fh;
}

sub _contents {
    my ($fh) = @_;

    sysseek $fh, 0, 0;
    my $bytes = '';
    while (sysread $fh, $bytes, 65536, length $bytes) { }
    return $bytes;
}


sub _spawn {
    my ($option, $in, $out, $err, @command) = @_;
    my $pid = fork;
    die "cannot fork: $!\n" if !defined $pid;
    return $pid if $pid;

    POSIX::setpgid(0, 0);
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE ALRM);
    POSIX::dup2(fileno $in, 0);
    POSIX::dup2(fileno $out, 1);
    POSIX::dup2(fileno $err, 2);
    chdir $option->{dir} if $option->{dir};
    $ENV{$_} = $option->{env}{$_} for keys %{ $option->{env} || {} };

    { no warnings 'exec'; exec { $command[0] } @command; }
    syswrite STDERR, "cannot run $command[0]: $!\n";
    POSIX::_exit(127);
}


sub _reap {
    my ($pid, $timeout) = @_;
    my $end = now() + $timeout;

    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        if (now() >= $end) {
            kill 'KILL', -$pid;
            waitpid $pid, 0;
            return 124;
        }

        Time::HiRes::sleep(0.01);
    }

    return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}


sub uuid {
    open my $fh, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";
    sysread $fh, my $bytes, 16;
    my $hex = unpack 'H*', $bytes;
    substr $hex, 12, 1, '4';
    substr $hex, 16, 1, 'a';

    return join '-', unpack 'A8 A4 A4 A4 A12', $hex;
}


# Milliseconds since the epoch as the records write them.
sub rfc3339 {
    my ($ms) = @_;

    return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime int($ms / 1000))
        . sprintf('.%03dZ', $ms % 1000);
}


# Registers something to do when the test process ends, last in, first out.
sub at_end {
    my ($code) = @_;

    push @undo, [$$, $code];
}

# Whether the test has failed so far, or is dying.
sub failing {
    return !Test::More->builder->is_passing || $status != 0;
}


END {
    $status = $?;

    # Interrupted in run(): the command must not go on behind the clean-up.
    for my $pid (grep { $running{$_} == $$ } keys %running) {
        kill 'TERM', -$pid;
        _reap($pid, 20);
    }

    while (my $entry = pop @undo) {
        my ($pid, $code) = @$entry;
        next if $pid != $$;
        eval { $code->(); 1 } or do {
            Test::More::diag("at the end: $@");
            $status ||= 1;
        };
    }

    $? = $status;
}


1;
