#!/usr/bin/perl

# The ledger and the spool: what lies there is told, by whoever has it, until it
# has been drained; and workers that find no room for a book.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Ledger;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');

my $good = event('click', { name => 'a' });
my @topics = qw(tracking_events tracking_events_rejected made_later);

sub conf {
    my ($zone, $extra, $timeout) = @_;
    $timeout //= '1s';

    return qq{
    track_postgres "%%POSTGRES%%";
    track_zone track:$zone;
    track_schema_file %%DIR%%/schema/schema.json;
    track_kafka_brokers %%KAFKA%%;
    track_kafka_property message.timeout.ms 4000;
    track_kafka_property topic.metadata.propagation.max.ms 1000;
    track_ack_timeout $timeout;
    $extra

    server {
        listen 127.0.0.1:%%PORT%%;
        client_max_body_size 1m;

        location = /track {
            track;
        }

        location = /later {
            track;
            track_kafka_topic made_later;
        }

        location = /track/status {
            track_status;
        }
    }
};
}

my $nginx = Track::Nginx->new(stack => $stack, folders => ['spool'],
    http => conf('8m', 'track_spool %%DIR%%/spool;'),
    known => [qr/exited on signal 9/])->start();
wait_schema($nginx);


sub post {
    my ($path, $want) = @_;
    my $response = Track::HTTP->new($nginx->port)->post($path, $good);

    is($response->{status} . ' ' . ($response->{header}{'x-track-ack'} // ''),
        $want, "$path: $want");
}

# How many numbers lie in spools, as far as the beats say.
sub spooled {
    my ($edges) = @_;
    my $n = 0;

    $n += @{ $_->{spool} || [] } for values %$edges;
    return $n;
}


# --- a topic that is not there holds its records back ---

post('/track', '204 kafka');
post('/later', '204 spool') for 1 .. 5;
my $edges = wait_edges($stack, 'five in a spool', sub { spooled(@_) == 5 });
ledger_ok($stack, 'five lie in a spool: the topics agree', wait => 40,
    numbered => [grep { $_ ne 'made_later' } @topics]);

# --- their workers die: those who adopt the spools speak for them ---

kill 'KILL', $nginx->workers();
wait_edges($stack, 'the ends of the dead, with what lies in their spools', sub {
    my ($all) = @_;
    return spooled($all) == 5
        && !grep { @{ $_->{spool} || [] } && !$_->{end} } values %$all;
}, 60);
pass('adopted spools are told with the ends of their edges');

# --- all of nginx dies, and its books with it ---

$nginx->crash();
wait_schema($nginx);
my $before = spooled(edges($stack));
is($before, 5, 'five still lie there');

my $told = edges($stack);
my @holding = grep { @{ $told->{$_}{spool} || [] } } sort keys %$told;
my @gone;
run_ok(root() . '/t/lib/kafka-admin', $stack->env('KAFKA_BROKERS'),
    'create-topic', 'made_later', 1);

# Whoever has drained them may be killed at any moment.
for (1 .. 45_000) {
    @gone = grep { !-e $nginx->dir . "/spool/$_" } @holding;
    last if @gone;
    Time::HiRes::sleep(0.002);
}
kill 'STOP', $nginx->workers();
$told = edges($stack);
cmp_ok(scalar @gone, '>', 0, 'a drained spool is removed');
is_deeply([map { @{ $told->{$_}{spool} } } @gone], [],
    'when the ledger has been told that it is empty');
kill 'CONT', $nginx->workers();
wait_edges($stack, 'empty spools', sub { !spooled(@_) }, 90);
pass('the topic is made: the spools are drained, and that is told');
ledger_ok($stack, 'drained: the topics agree', numbered => \@topics,
    drained => 1, died => 1);

# --- Kafka away: everything is spooled, and told later ---

$stack->stop('kafka');
post('/track', '204 spool') for 1 .. 3;
$stack->start('kafka');
ledger_ok($stack, 'Kafka was away: the topics agree', numbered => \@topics,
    drained => 1, died => 1, wait => 60);
$nginx->stop();


# --- more workers than books ---

my $small = Track::Nginx->new(stack => $stack, http => conf('64k', ''),
    known => [qr{is too small}]);
my ($least) = $small->check()->{err} =~ /too small: (\d+k) is the least/
    or BAIL_OUT('no least size of the zone');
$small = Track::Nginx->new(stack => $stack, http => conf($least, '', '3s'),
    workers => 24)->start();
wait_schema($small);

my $line = qr/all (\d+) books of track_zone .* are taken/;
wait_for(30, 'workers without a book', sub { $small->log_count($line) });
my ($books) = $small->error_log() =~ $line;
wait_for(30, 'all of them', sub {
    $small->log_count($line) == 24 - $books });
wait_for(20, 'the count', sub {
    $small->status()->{counters}{ledger_unbooked} >= 24 - $books });
is($small->status()->{counters}{ledger_unbooked}, 24 - $books,
    "24 workers, $books books");

my %answers;
$answers{ Track::HTTP->new($small->port)->post('/track', $good)->{status} }++
    for 1 .. 100;
is_deeply(\%answers, { 204 => 100 }, 'and take events all the same');

done_testing();
