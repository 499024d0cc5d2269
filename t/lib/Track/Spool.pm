package Track::Spool;

# What the tests of the spool share: an nginx with one, a client that posts
# events and remembers which were acknowledged for what, track-spool, and a
# disk that can be broken (t/shim/disk.c).
#
# TRACK_SPOOL names another build of track-spool.

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use Test::More ();

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Util;

our @EXPORT = qw(spool_conf spool_nginx spool_post spool_tool spool_list
    spool_waits wait_spooled wait_drained wait_removed wait_counter once_each
    times_in disk_shim disk counter spool_files);

my $SERVER = <<'CONF';
    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 2m;
        client_body_buffer_size 64k;
        keepalive_requests 100000;

        location = /track {
            track;
            track_max_event_size 1m;
        }

        location = /spool {
            track;
            track_ack spool;
        }

        location = /later {
            track;
            track_kafka_topic made_later;
        }

        location = /small {
            track;
            track_max_event_size 1m;
            track_kafka_topic small_records;
        }

        location = /track/status {
            track_status;
        }
    }
CONF


# The http block; `spool` are track_spool's parameters, `extra` other lines.
sub spool_conf {
    my (%arg) = @_;
    my $path = $arg{path} || '%%DIR%%/spool';
    my $parameters = $arg{spool} || '';
    my $extra = $arg{extra} || '';

    return qq{
    track_postgres "%%POSTGRES%%";
    track_zone track:8m;
    track_schema_file %%DIR%%/schema/schema.json;
    track_kafka_brokers %%KAFKA%%;
    track_kafka_property message.timeout.ms 3000;
    track_kafka_property topic.metadata.propagation.max.ms 1000;
    track_kafka_property reconnect.backoff.max.ms 1000;
    track_spool $path $parameters;
    track_ack_timeout 1s;
    $extra
} . $SERVER;
}


# One that runs.
sub spool_nginx {
    my ($stack, %arg) = @_;

    my $nginx = Track::Nginx->new(stack => $stack, http => spool_conf(%arg),
        known => [qr/exited on signal 9/, @{ $arg{known} || [] }],
        map { defined $arg{$_} ? ($_ => $arg{$_}) : () }
            qw(main replace workers));
    $nginx->start();
    wait_schema($nginx);

    return $nginx;
}


# Posts n events one after the other; returns their ids by what was answered:
# { '204 kafka' => [...], '204 spool' => [...], '503' => [...] }.
sub spool_post {
    my ($nginx, $n, %arg) = @_;
    my $http = Track::HTTP->new($nginx->port);
    my %ids;

    for (1 .. $n) {
        my $id = uuid();
        my $got = $http->post($arg{path} || '/track',
            event($arg{type} || 'click', $arg{fields} || { name => 'a' },
                event_id => $id));
        my $ack = $got->{header}{'x-track-ack'};
        push @{ $ids{ $got->{status} . ($ack ? " $ack" : '') } }, $id;
    }

    return \%ids;
}


# track-spool with arguments: { rc, out, err }.
sub spool_tool {
    my (@arguments) = @_;

    return run({ timeout => 90 }, $ENV{TRACK_SPOOL}
        || root() . '/build/track-spool', @arguments);
}


# The spools of a path, as track-spool lists them.
sub spool_list {
    my ($path) = @_;

    my $got = spool_tool('list', '--json', $path);

    die "track-spool list: $got->{rc}\n$got->{err}" if $got->{rc} > 2;
    return map { json_decode($_) } split /\n/, $got->{out};
}


# How many records wait in them.
sub spool_waits {
    my ($path) = @_;
    my $sum = 0;

    $sum += $_->{waits} for spool_list($path);

    return $sum;
}


sub wait_spooled {
    my ($path, $n) = @_;

    wait_for(60, "$n records in the spool", sub { spool_waits($path) == $n });
}


# Until nothing waits in a path; returns the seconds it took.
sub wait_drained {
    my ($path, $seconds) = @_;
    my $begin = now();

    wait_for($seconds || 60, 'the spool to be drained',
        sub { spool_waits($path) == 0 });

    return now() - $begin;
}


# Until only the spools of living workers are there, or none.
sub wait_removed {
    my ($nginx, $path) = @_;

    wait_for(60, 'adopted spools to be removed', sub {
        my %own = map { $_->{edge} => 1 } @{ $nginx->status->{workers} };
        return !grep { !$own{ $_->{edge} } } spool_list($path);
    });
}


# How often each id stands in a topic: { id => n }.
sub times_in {
    my ($stack, $topic) = @_;
    my %times;

    for (kafka_records($stack->env('KAFKA_BROKERS'),
        $topic || 'tracking_events')) {
        $times{$1}++ if $_->{value} =~ /"event_id":"([^"]+)"/;
    }

    return \%times;
}


# ok() that each of the ids is in the topic, and none more often than `most`.
sub once_each {
    my ($stack, $name, $ids, %arg) = @_;
    my $most = $arg{most} || 1;
    my $times;

    # track_ack spool is answered when Kafka may not have them yet.
    eval { wait_for(30, 'them in Kafka', sub {
        $times = times_in($stack, $arg{topic});
        return !grep { !$times->{$_} } @$ids;
    }) };

    Test::More::is(scalar(grep { !$times->{$_} } @$ids), 0,
        "$name: none of " . @$ids . ' is missing');
    Test::More::is(scalar(grep { ($times->{$_} || 0) > $most } @$ids), 0,
        "$name: none is there twice");
}


# A counter of track_status.
sub counter {
    my ($nginx, $name) = @_;

    return $nginx->status->{counters}{$name};
}


# The same when it has reached what is wanted, or cannot be waited for longer:
# the folder shows some things before they are counted.
sub wait_counter {
    my ($nginx, $name, $wanted) = @_;

    eval { wait_for(20, $name, sub { counter($nginx, $name) >= $wanted }) };
    return counter($nginx, $name);
}


# The files of all spools of a path that match.
sub spool_files {
    my ($path, $pattern) = @_;

    return sort glob "$path/[0-9a-f]*/$pattern";
}


# Builds the disk that fails, for every nginx that is started from now on.
sub disk_shim {
    my $dir = File::Temp::tempdir(CLEANUP => 1);

    run_ok('cc', '-shared', '-fPIC', '-O1', '-o', "$dir/disk.so",
        root() . '/t/shim/disk.c', '-ldl');
    chmod 0755, $dir;
    $ENV{TRACK_PRELOAD} = join ':', $ENV{TRACK_PRELOAD} || (), "$dir/disk.so";
}


# disk($nginx, 'sync EIO', ...): what is wrong with its disk from now on;
# without arguments nothing is.
sub disk {
    my ($nginx, @faults) = @_;
    my $path = $nginx->dir . '/spool.disk';

    if (!@faults) {
        unlink $path;
        return;
    }

    spit("$path.new", join '', map { "$_\n" } @faults);
    chmod 0644, "$path.new";
    rename "$path.new", $path or die "cannot rename $path.new: $!\n";
}


1;
