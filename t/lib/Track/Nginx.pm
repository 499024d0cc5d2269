package Track::Nginx;

# An nginx with the module under test and a configuration written by the test.
# Its folder is a temporary one that an unprivileged worker may enter.  When the
# test ends nginx is stopped, and the error log must hold no [alert] or [emerg],
# no "open socket left", nothing of a sanitizer: otherwise the test fails.
#
# TRACK_MODULE names another build of the module, TRACK_PRELOAD a library that
# nginx must be started with for it, such as gcc's libasan.so.  TRACK_NGINX names
# an nginx that has the module linked in.

use strict;
use warnings;

use File::Path ();
use File::Temp ();
use Test::More ();

use Track::Util;

my $MODULE = root() . '/build/ngx_http_track_module.so';

# By its path: a binary upgrade starts what the old master was started as.
my ($NGINX) = grep { -x } $ENV{TRACK_NGINX} || (), map { "$_/nginx" }
    split(/:/, $ENV{PATH}), '/usr/sbin';

my $HEAD = <<'CONF';
load_module %%MODULE%%;
%%USER%%
worker_processes %%WORKERS%%;
worker_rlimit_nofile 4096;
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log notice;
daemon on;
%%MAIN%%

events {
    worker_connections 1024;
}

http {
    access_log off;
    client_body_temp_path %%DIR%%/body;
    proxy_temp_path %%DIR%%/proxy;
    fastcgi_temp_path %%DIR%%/fastcgi;
    uwsgi_temp_path %%DIR%%/uwsgi;
    scgi_temp_path %%DIR%%/scgi;

CONF


# Track::Nginx->new(stack => $stack, http => TEXT): TEXT stands in the http
# block, that of `main`, if given, before it; there are `workers` (2) of them.
# In it %%DIR%%, %%POSTGRES%%, %%KAFKA%%, %%PORT%%, %%PORT2%% and what `replace`
# gives are filled in.  `conf` instead of `http` is a whole file.  `folders` are
# made beside schema/, for the workers' user.
sub new {
    my ($class, %arg) = @_;
    my $dir = File::Temp::tempdir('track-nginx-XXXXXX', TMPDIR => 1);
    my $stack = $arg{stack};
    my $self = bless { dir => $dir, known => $arg{known} || [] }, $class;

    chmod 0755, $dir;
    for my $folder (map { "$dir/$_" } 'schema', @{ $arg{folders} || [] }) {
        mkdir $folder or die "cannot make $folder: $!\n";
        chown((getpwnam 'www-data')[2, 3], $folder) if $> == 0;
    }

    $self->{port} = $stack->free_port();
    $self->{port2} = $stack->free_port();
    $self->{replace} = {
        DIR      => $dir,
        MODULE   => $ENV{TRACK_MODULE} || $MODULE,
        USER     => $> == 0 ? 'user www-data;' : '',
        WORKERS  => $arg{workers} || 2,
        MAIN     => $arg{main} || '',
        PORT     => $self->{port},
        PORT2    => $self->{port2},
        POSTGRES => sprintf('host=127.0.0.1 port=%d user=track_reader'
                    . ' dbname=track', $stack->port('postgres')),
        KAFKA    => '127.0.0.1:' . $stack->port('kafka'),
        %{ $arg{replace} || {} },
    };
    $self->configure($arg{conf} || $HEAD . $arg{http} . "\n}\n");
    at_end(sub { $self->_finish() });

    return $self;
}


sub dir  { return $_[0]{dir} }
sub port { return $_[0]{port} }
sub port2 { return $_[0]{port2} }
sub error_log { return slurp("$_[0]{dir}/error.log") }


# Writes the configuration, placeholders filled in; a reload() makes it live.
sub configure {
    my ($self, $text) = @_;

    $text = $HEAD . $text . "\n}\n" if $text !~ /^events/m;
    $text =~ s/^load_module %%MODULE%%;\n// if $ENV{TRACK_NGINX};
    $text =~ s/%%(\w+)%%/$self->{replace}{$1} \/\/ die "no value for $1\n"/ge;
    spit("$self->{dir}/nginx.conf", $text);
}


sub command {
    my ($self, @arguments) = @_;

    return ($NGINX, '-p', "$self->{dir}/", '-c', "$self->{dir}/nginx.conf",
            '-e', "$self->{dir}/error.log", @arguments);
}


# nginx -t: { rc, out, err, seconds }
sub check { return run(_option(), $_[0]->command('-t')) }


sub _option {
    my $preload = $ENV{TRACK_PRELOAD};

    return { timeout => 60, env => { $preload ? (LD_PRELOAD => $preload) : () } };
}


sub start {
    my ($self) = @_;

    run_ok(_option(), $self->command());
    wait_for(30, 'nginx.pid', sub { -s "$self->{dir}/nginx.pid" });

    return $self;
}


# kill -9 of master and workers, as a machine's supervisor does, and a start.
sub crash {
    my ($self) = @_;
    my @all = ($self->pid() || (), $self->children());

    kill 'KILL', @all;
    wait_for(10, 'nginx to die', sub { !grep { kill 0, $_ } @all });
    unlink "$self->{dir}/nginx.pid";

    return $self->start();
}


sub pid {
    my ($self) = @_;
    my $path = "$self->{dir}/nginx.pid";
    return -s $path ? int slurp($path) : 0;
}


# Pids of the master's children; those that leave gracefully are among them.
sub children {
    my ($self) = @_;
    my $master = $self->pid() or return;

    return split ' ', run('ps', '-o', 'pid=', '--ppid', $master)->{out};
}


# Pids of the workers that take new connections.
sub workers {
    my ($self) = @_;
    my $master = $self->pid() or return;
    my $list = run('ps', '-o', 'pid=,args=', '--ppid', $master)->{out};

    return map { /^\s*(\d+)\s+nginx: worker process$/ ? $1 : () }
        split /\n/, $list;
}


# HUP; returns when the old workers have left, or dies.
sub reload {
    my ($self, $timeout) = @_;
    my %old = map { $_ => 1 } $self->workers();

    kill 'HUP', $self->pid() or die "cannot reload: $!\n";
    wait_for($timeout || 40, 'new workers', sub {
        my @now = $self->workers();
        return @now && !grep { $old{$_} } @now;
    });
    wait_for($timeout || 40, 'old workers to leave', sub {
        return !grep { $old{$_} } $self->children();
    });
}


sub signal {
    my ($self, $name) = @_;
    kill $name, $self->pid() or die "cannot send $name: $!\n";
}


# Sends QUIT (or what is given) and waits; returns the seconds it took.
sub stop {
    my ($self, $name, $timeout) = @_;
    my $pid = $self->pid() or return 0;
    my $begin = now();
    my @all = ($pid, $self->children());

    kill $name || 'QUIT', $pid;
    wait_for($timeout || 40, 'nginx to leave after ' . ($name || 'QUIT'),
        sub { !grep { kill 0, $_ } @all });

    return now() - $begin;
}


# How many lines of the error log match.
sub log_count {
    my ($self, $pattern) = @_;

    return scalar grep { $_ =~ $pattern } split /\n/, $self->error_log();
}


# GET of track_status at $path, decoded.
sub status {
    my ($self, $path) = @_;
    require Track::HTTP;
    my $response = Track::HTTP->new($self->{port})
        ->get($path || '/track/status');

    return $response->{json};
}


# Lines that must not be there.  `known`, given to new(), are patterns of what
# the test provokes on purpose (a worker that it kills is an alert).
sub bad_lines {
    my ($self) = @_;

    return grep {
        my $line = $_;
        $line =~ /\[alert\]|\[emerg\]|open socket .*left|Sanitizer|runtime error/
            && !grep { $line =~ $_ } @{ $self->{known} };
    } split /\n/, -e "$self->{dir}/error.log" ? $self->error_log() : '';
}


sub _finish {
    my ($self) = @_;

    my @all = ($self->pid() || (), $self->children());
    eval { $self->stop('QUIT', 60); 1 } or do {
        my $why = $@;
        kill 'KILL', @all;
        $self->_keep();
        die $why;
    };

    my @bad = $self->bad_lines();
    $self->_keep() if @bad || failing();
    File::Path::remove_tree($self->{dir}) if !$self->{kept};
    die join "\n", "error.log has", @bad[0 .. ($#bad > 9 ? 9 : $#bad)], ''
        if @bad;
}

sub _keep {
    my ($self) = @_;

    $self->{kept} = 1;
    Test::More::diag("nginx's folder is kept: $self->{dir}");
}


1;
