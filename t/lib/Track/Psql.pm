package Track::Psql;

# Databases of one PostgreSQL as a DBA works with them: migrations applied with
# psql, and sessions of psql that stay open, so that a test can hold several
# transactions at once and see notifications arrive.

use strict;
use warnings;

use Exporter 'import';
use IO::Select ();
use IPC::Open2 ();

use Track::Util;

our @EXPORT = qw(migrations migrate database);

use constant TIMEOUT => 20;


# The files of migrations/postgres/ in the order of their numbers.
sub migrations { return sort glob root() . '/migrations/postgres/*.sql' }


# migrate($url): applies each file in a transaction of its own, as the files'
# first lines tell a DBA to.
sub migrate {
    my ($url) = @_;

    run_ok({ env => { PGOPTIONS => '-c client_min_messages=warning' } },
        'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', $url,
        '-f', $_) for migrations();
}


# database($stack, 'name', $options): makes an empty database, returns its URL.
sub database {
    my ($stack, $name, $options) = @_;
    $options //= '';

    $stack->psql("CREATE DATABASE $name $options;");
    (my $url = $stack->env('DATABASE_URL')) =~ s{/\w+$}{/$name};

    return $url;
}


# Track::Psql->new($url): an open session.
sub new {
    my ($class, $url) = @_;
    my $pid = IPC::Open2::open2(my $from, my $to, 'sh', '-c',
        'exec psql -X -q -A -t -d "$1" 2>&1', 'psql', $url);
    my $self = bless { pid => $pid, from => $from, to => $to, text => '' },
        $class;

    at_end(sub { $self->close() });
    $to->autoflush(1);
    $self->ask("\\set VERBOSITY verbose\n\\set SHOW_CONTEXT never\n"
        . 'SET client_min_messages = warning');

    return $self;
}


# Runs SQL and returns all that psql printed: rows, errors, notifications.
sub ask {
    my ($self, $sql) = @_;

    $self->begin_ask($sql);
    return $self->end_ask();
}


# ask() in two halves, for statements that wait for another session.
sub begin_ask {
    my ($self, $sql) = @_;
    my $mark = sprintf '=== %d ===', ++$self->{asked};

    # Errors and rows come on two streams: each tells its own end.
    print { $self->{to} } "$sql;\n\\warn $mark\n\\echo $mark\n";
}

sub end_ask {
    my ($self) = @_;
    my $mark = quotemeta sprintf '=== %d ===', $self->{asked};

    wait_for(TIMEOUT, 'psql', sub { $self->_read(); $self->_has($mark) >= 2 });
    my $text = delete $self->{text};
    $self->{text} = '';
    $text =~ s/^$mark\n//mg;
    chomp $text;

    return $text;
}


# Whether the second half would return at once.
sub answered {
    my ($self) = @_;

    $self->_read();
    return $self->_has(quotemeta sprintf '=== %d ===', $self->{asked}) >= 2;
}


sub _has {
    my ($self, $mark) = @_;

    return scalar(() = $self->{text} =~ /^$mark\n/mg);
}


sub _read {
    my ($self) = @_;
    my $select = IO::Select->new($self->{from});

    while ($select->can_read(0)) {
        last if !sysread $self->{from}, $self->{text}, 65536,
            length $self->{text};
    }
}


sub close {
    my ($self) = @_;
    return if !$self->{to};

    CORE::close(delete $self->{to});
    waitpid $self->{pid}, 0;
}


1;
