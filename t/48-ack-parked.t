#!/usr/bin/perl

# Ten thousand requests wait when Kafka falls silent: the worker answers them
# when their time is over, without a pause in which it serves nobody, into a
# spool or with 503, and its memory does not grow for good.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select ();
use Socket qw(PF_INET SOCK_STREAM pack_sockaddr_in INADDR_LOOPBACK);
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

use constant N => 10_000;

my $limit = `sh -c 'ulimit -n'`;
plan skip_all => "needs ${\ (N + 1000)} open files, ulimit -n is $limit"
    if $limit < N + 1000;

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $text = Track::HTTP->new(0)->request('/track',
    json_encode(event('click', { name => 'parked' })));

sub nginx {
    my ($spool) = @_;
    my $http = edge_conf("track_ack_timeout 2s; $spool");

    my $nginx = Track::Nginx->new(stack => $stack, folders => ['spool'],
        conf => <<"CONF")->start();
load_module %%MODULE%%;
%%USER%%
worker_processes 1;
worker_rlimit_nofile 20000;
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log notice;
events {
    worker_connections 24000;
}
http {
    access_log off;
    client_body_temp_path %%DIR%%/body;
    proxy_temp_path %%DIR%%/proxy;
    fastcgi_temp_path %%DIR%%/fastcgi;
    uwsgi_temp_path %%DIR%%/uwsgi;
    scgi_temp_path %%DIR%%/scgi;
    $http
}
CONF
    wait_schema($nginx);
    return $nginx;
}

sub rss {
    my ($nginx) = @_;
    my ($pid) = $nginx->workers();
    return slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 / 1024 : die;
}

# Seconds in which a process was ready to run and others had the CPUs: of these
# the worker cannot be blamed.
sub idle {
    my ($pid) = @_;
    return (split ' ', slurp("/proc/$pid/schedstat"))[1] / 1e9;
}

# Sends N requests; returns the statuses with their number, and the longest time
# that another request took meanwhile.
sub storm {
    my ($nginx) = @_;
    my $to = pack_sockaddr_in($nginx->port, INADDR_LOOPBACK);
    my $observer = Track::HTTP->new($nginx->port);
    my ($worker) = $nginx->workers();
    my ($slowest, %status) = (0);

    # (ten thousand IO::Sockets take half a minute)
    my @clients = map {
        socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
        connect $socket, $to or die "connect: $!\n";
        syswrite $socket, $text;
        $socket;
    } 1 .. N;

    my $end = now() + 60;
    my $select = IO::Select->new(@clients);

    while ($select->count && now() < $end) {
        my $began = now() - idle($worker) - idle('self');
        $observer->get('/track/status');
        my $took = now() - idle($worker) - idle('self') - $began;
        $slowest = $took if $took > $slowest;

        my @ready = $select->can_read(0.05);
        for my $socket (@ready[0 .. ($#ready > 999 ? 999 : $#ready)]) {
            sysread $socket, my $answer, 4096;
            my ($code) = $answer =~ m{^HTTP/1.1 (\d+)};
            my ($ack) = $answer =~ /^X-Track-Ack: (\w+)/m;
            $status{ join ' ', $code, $ack // '-' }++;
            $select->remove($socket);
        }
    }

    return (\%status, $slowest);
}


for my $case (['', '503 -'], ['track_spool %%DIR%%/spool;', '204 spool']) {
    my ($spool, $wanted) = @$case;
    my $nginx = nginx($spool);
    my $name = $spool ? 'with a spool' : 'without a spool';

    is(Track::HTTP->new($nginx->port)->write($text)->read_response->{status},
        204, "$name: Kafka is there");
    $stack->signal('kafka', 'STOP');

    my ($status, $slowest) = storm($nginx);
    is_deeply($status, { $wanted => N }, "$name: all are answered $wanted");
    cmp_ok($slowest, '<', 0.5,
        sprintf "%s: others are served meanwhile (%.3f s)", $name, $slowest);
    is($nginx->status()->{gauges}{waiting}, 0, "$name: nobody waits");
    my $first = rss($nginx);

    ($status, $slowest) = storm($nginx);
    is_deeply($status, { $wanted => N }, "$name: another ten thousand");
    cmp_ok(rss($nginx), '<', $first + ($spool ? 30 : 60), sprintf
        '%s: memory %.0f, then %.0f MB', $name, $first, rss($nginx));

    $stack->signal('kafka', 'CONT');
    wait_for(60, 'all of them in Kafka', sub {
        my $c = $nginx->status();
        return !$c->{gauges}{spool_records} && !$c->{gauges}{queue};
    });
    $nginx->stop();
}

done_testing();
