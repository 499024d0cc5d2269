package Track::Storm;

# kill -9 of any process at random moments, under load on several locations,
# with the disk of the spool coming and going.  At the end all that was
# acknowledged is in Kafka and in ClickHouse, what was rejected in its topic,
# and the ledger's equation holds.

use strict;
use warnings;

use Exporter 'import';
use Test::More ();
use Time::HiRes ();

use Track::Edge;
use Track::Nginx;
use Track::Oracle;
use Track::Spool;
use Track::Stack;
use Track::Util;

our @EXPORT = qw(storm);

my $CONF = <<'CONF';
    track_postgres "%%POSTGRES%%";
    track_zone track:8m;
    track_schema_file %%DIR%%/schema/schema.json;
    track_kafka_brokers %%KAFKA%%;
    track_kafka_property message.timeout.ms 6000;
    track_spool %%DIR%%/spool segment=1m;
    track_ack_timeout 1s;

    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 1m;
        keepalive_requests 100000;

        location = /track {
            track;
        }

        location = /spool {
            track;
            track_ack spool;
        }

        location = /track/status {
            track_status;
        }
    }
CONF

# How often each is hit; the numbers are shares.
my %BLOW = (
    worker => 10, workers => 2, kafka => 3, loader => 3, clickhouse => 1,
    postgres => 1, disk => 3, reload => 2, nginx => 1,
);

# What a disk may do to the spool, see t/shim/disk.c.
my @FAULTS = ('write EIO', 'write ENOSPC', 'write hang', 'sync EIO',
    'sync hang', 'syncdir EIO', 'make ENOSPC', 'make hang');


# storm($blows): so many, one after the other or two at a time.
sub storm {
    my ($blows) = @_;
    my $seed = $ENV{TRACK_SEED} || time;

    Test::More::diag("TRACK_SEED=$seed") if $blows > 20;
    Test::More::note("TRACK_SEED=$seed");
    srand $seed;

    disk_shim();
    my $stack = Track::Stack->new(qw(postgres kafka clickhouse loader));
    my $oracle = Track::Oracle->new($stack);
    my $nginx = Track::Nginx->new(stack => $stack, http => $CONF,
        folders => ['spool'],
        known => [qr/exited on signal 9/])->start();
    wait_schema($nginx);

    my $url = 'http://127.0.0.1:' . $nginx->port;
    my @loads = map { $oracle->start(url => "$url/$_", rate => 150,
        seconds => 100_000, connections => 6, invalid => 0.1) }
        qw(track spool);
    my %hit;

    while ($blows > 0) {
        Time::HiRes::sleep(0.2 + rand 1.5);
        my @targets = rand() < 0.1 ? ('kafka', 'disk')
            : map { _target() } 1 .. (rand() < 0.2 ? 2 : 1);
        my @undo = map { $hit{$_}++; _strike($stack, $nginx, $_) } @targets;
        $blows -= @targets;
        Time::HiRes::sleep(rand(rand() < 0.2 ? 8 : 2)) if @undo;
        $_->() for @undo;
    }

    Test::More::note(join ', ', map { "$_ $hit{$_}" } sort keys %hit);
    Time::HiRes::sleep(2);
    wait_schema($nginx, 30);

    for my $load (@loads) {
        my $summary = $oracle->finish($load);
        Test::More::note(json_encode($summary));
        Test::More::is_deeply($summary->{wrong}, [],
            'every verdict was right');
        Test::More::cmp_ok($summary->{verdicts}{acked} || 0, '>', 300,
            'of many');
    }

    return $oracle->check('log, rows and ledger are what was promised',
        wait => 120, drained => 1, died => 1);
}


sub _target {
    my @all = map { ($_) x $BLOW{$_} } sort keys %BLOW;
    return $all[rand @all];
}


# Hits one; returns what undoes it, if that takes more than waiting.
sub _strike {
    my ($stack, $nginx, $target) = @_;

    if ($target eq 'worker' || $target eq 'workers') {
        my @workers = $nginx->workers();
        kill 'KILL', $target eq 'worker' ? $workers[rand @workers] : @workers
            if @workers;
        return;
    }

    if ($target eq 'reload') {
        $nginx->signal('HUP');
        return;
    }

    # All of it, as a machine's supervisor does: the zone dies too.
    if ($target eq 'nginx') {
        $nginx->crash();
        return;
    }

    if ($target eq 'disk') {
        disk($nginx, $FAULTS[rand @FAULTS]);
        return sub { disk($nginx) };
    }

    return if !eval { $stack->kill_part($target); 1 };
    return sub { $stack->start($target) };
}


1;
