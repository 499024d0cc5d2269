#!/usr/bin/perl

# What may stand in a spool that a worker adopts: torn tails, damage, another
# format, another cluster's records, records that Kafka refuses for good, topics
# that are not there.  Nothing of it stops the rest.  And track-spool, which
# shows it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Spool;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $brokers = $stack->env('KAFKA_BROKERS');
my @topic = (root() . '/t/lib/kafka-admin', $brokers);

my $nginx = spool_nginx($stack, workers => 1, spool => 'segment=64k');
my $path = $nginx->dir . '/spool';


# Fills a spool and ends nginx as a power failure does; returns the ids.
sub leave {
    my ($n, %arg) = @_;

    $stack->stop('kafka');
    wait_for(20, 'the spool to take events',
        sub { spool_post($nginx, 1)->{'204 spool'} });
    my $ids = spool_post($nginx, $n, %arg);
    is_deeply([keys %$ids], ['204 spool'], "$n events in the spool");
    my @all = ($nginx->pid, $nginx->children());
    kill 'KILL', @all;
    wait_for(10, 'nginx to die', sub { !grep { kill 0, $_ } @all });
    unlink $nginx->dir . '/nginx.pid';

    return @{ $ids->{'204 spool'} };
}

# The segment that holds an id.
sub segment_of {
    my ($id) = @_;
    my ($file) = grep { slurp($_) =~ /$id/ } spool_files($path, '*.seg');

    return $file;
}

sub change {
    my ($file, $change) = @_;
    my $bytes = slurp($file);

    local $_ = $bytes;
    $change->();
    spit($file, $_);
}


# --- a torn tail, damage in the middle, rubbish ---

my @ids = leave(400);
my @segments = spool_files($path, '*.seg');
cmp_ok(scalar @segments, '>=', 2, 'several segments');

# The last record of the last segment was being written: half of it is there.
my $torn = $ids[-1];
change($segments[-1], sub { substr($_, -100) = '' });

# A byte of one in the middle of the first one.
my $broken = $ids[10];
is(segment_of($broken), $segments[0], 'a record in the first segment');
change($segments[0], sub { s/$broken/'x' x length $broken/e });

my $list = spool_tool('list', $path);
like($list->{out}, qr/^[0-9a-f]{16}  free .* 4\d\d records wait/,
    'list shows them');
my $verify = spool_tool('verify', $path);
is($verify->{rc}, 1, 'verify finds the damage');
like($verify->{out}, qr/damaged at 1 places/, 'and says where');
like($verify->{out}, qr/a last write of \d+ bytes never ended/,
    'and the torn tail');
my @json = map { json_decode($_) }
    split /\n/, spool_tool('verify', '--json', $path)->{out};
is(scalar(grep { $_->{damaged} } @json), 1, 'verify --json');

my $cat = spool_tool('cat', $path);
my @values = grep { /\Q$ids[20]\E/ } split /\n/, $cat->{out};
is(@values, 1, 'cat prints values');
is(json_decode($values[0])->{fields}{name}, 'a', 'as they are');
my ($one) = grep { $_->{value} =~ /\Q$ids[20]\E/ }
    map { json_decode($_) }
    split /\n/, spool_tool('cat', '--json', $path)->{out};
is($one->{topic}, 'tracking_events', 'cat --json: topic');
is($one->{kind}, 'accepted', 'kind');
is($one->{key}, $ids[20], 'key');
is(json_decode($one->{value})->{seq}, $one->{seq}, 'seq');

$stack->start('kafka');
$nginx->start();
wait_schema($nginx);
wait_drained($path, 60);
once_each($stack, 'all but the damaged',
    [grep { $_ ne $broken && $_ ne $torn } @ids]);
my $times = times_in($stack);
ok(!$times->{$broken}, 'what was damaged was not sent');
is(wait_counter($nginx, 'spool_corrupt', 1), 1, 'but counted');

my ($aside) = spool_files($path, 'aside.seg');
ok($aside, 'and set aside');
my @apart = map { json_decode($_) }
    split /\n/, spool_tool('cat', '--aside', '--json', $path)->{out};
is(@apart, 1, 'cat --aside shows it');
is($apart[0]{kind}, 'damaged', 'as damaged');
like($apart[0]{value}, qr/tracking_events/, 'with its bytes');
eval { wait_for(20, 'the line', sub {
    $nginx->log_count(qr/see track-spool cat --aside/) }) };
is($nginx->log_count(qr/see track-spool cat --aside/), 1, 'the log says so');

# The operator takes it away.
unlink $aside or die "cannot remove $aside: $!\n";
wait_for(40, 'an empty spool to be removed', sub {
    my ($own) = map { $_->{edge} } @{ $nginx->status->{workers} };
    return !grep { $_->{edge} ne $own } spool_list($path);
});
pass('when that is taken away, the spool is removed');


# --- headers, marks and meta ---

@ids = leave(50);
my $first = segment_of($ids[0]);
change($first, sub { substr($_, 3, 1) = 'x' });
is(spool_tool('verify', $path)->{rc}, 1, 'a damaged header is found');
$stack->start('kafka');
$nginx->start();
wait_schema($nginx);
wait_drained($path, 60);
once_each($stack, 'its records are good', \@ids);

@ids = leave(20);
my $edge = (segment_of($ids[0]) =~ m{/([0-9a-f]{16})/})[0];
my $meta = slurp("$path/$edge/meta");
spit("$path/$edge/meta", "nginx-track spool 2\nwhatever\n");
$stack->start('kafka');
$nginx->start();
wait_schema($nginx);
wait_for(20, 'the log to tell of it',
    sub { $nginx->log_count(qr/format 2, which another version wrote/) });
pass('another format is reported');
Time::HiRes::sleep(11);
is($nginx->log_count(qr/format 2, which another version wrote/), 1, 'once');
like(spool_tool('list', $path)->{err}, qr/has format 2/, 'track-spool says it');
ok(-e "$path/$edge/00000001.seg", 'and it is left alone');

spit("$path/$edge/meta", "nginx-track spool 1\ncluster elsewhere\n");
wait_for(20, 'the log to tell of it',
    sub { $nginx->log_count(qr/for the Kafka cluster elsewhere/) });
pass('another cluster is reported');
my $drain = spool_tool('drain', '-b', $brokers, "$path/$edge");
is($drain->{rc}, 1, 'track-spool does not drain it either');
like($drain->{err}, qr/cluster elsewhere/, 'and says why');

spit("$path/$edge/meta", $meta);
wait_drained($path, 40);
once_each($stack, 'with its meta again', \@ids);


# --- a segment that cannot be read holds up nothing else ---

SKIP: {
    skip 'root only: files of another user', 5 if $> != 0;

    @ids = leave(300);
    my @files = spool_files($path, '*.seg');
    my ($blocked) = grep { /00000002\.seg$/ } @files;
    my ($uid, $gid) = (stat $blocked)[4, 5];
    my $text = slurp($blocked);
    chown 0, 0, $blocked;
    $stack->start('kafka');
    $nginx->start();
    wait_schema($nginx);
    my @readable = grep { $text !~ /$_/ } @ids;
    wait_for(60, 'all that can be read', sub {
        my $times = times_in($stack);
        return !grep { !$times->{$_} } @readable;
    });
    pass('all that can be read is delivered');
    ok(wait_for(20, 'the line', sub {
        $nginx->log_count(qr/open\(\) of "00000002\.seg" .* failed/) }),
        'the log names the rest');
    chown $uid, $gid, $blocked;
    wait_for(60, 'the rest', sub { !-e $blocked });
    once_each($stack, 'mended', \@ids);
}


# --- refused for good ---

run_ok(@topic, 'create-topic', 'small_records', 1, 'max.message.bytes=20000');
Time::HiRes::sleep(1);
$stack->stop('kafka');
wait_for(20, 'the spool to take events',
    sub { spool_post($nginx, 1)->{'204 spool'} });
my $large = spool_post($nginx, 2, path => '/small',
    fields => { name => 'x' x 30000 });
my $little = spool_post($nginx, 5, path => '/small');
my $other = spool_post($nginx, 5);
$stack->start('kafka');
wait_drained($path, 60);
once_each($stack, 'small ones', $little->{'204 spool'},
    topic => 'small_records');
once_each($stack, 'other topics', $other->{'204 spool'});
is(wait_counter($nginx, 'spool_aside', 2), 2, 'two were refused for good');
@apart = map { json_decode($_) }
    split /\n/, spool_tool('cat', '--aside', '--json', $path)->{out};
is_deeply([sort map { json_decode($_->{value})->{event_id} } @apart],
    [sort @{ $large->{'204 spool'} }], 'and are set aside as they were');
is($apart[0]{topic}, 'small_records', 'with their topic');


# --- a topic that is not there holds back its own records only ---

$stack->stop('kafka');
wait_for(20, 'the spool to take events',
    sub { spool_post($nginx, 1)->{'204 spool'} });
my $later = spool_post($nginx, 10, path => '/later');
is_deeply([keys %$later], ['204 spool'], 'for a topic that is not there');
$other = spool_post($nginx, 10);
$stack->start('kafka');
wait_for(60, 'all but those', sub { spool_waits($path) == 10 });
once_each($stack, 'other topics go on', $other->{'204 spool'});
$other = spool_post($nginx, 3, path => '/spool');
wait_for(60, 'new ones', sub { spool_waits($path) == 10 });

# Meanwhile track-spool does not touch what a living nginx owns.
$drain = spool_tool('drain', '-b', $brokers, $path);
is($drain->{rc}, 1, 'track-spool drain leaves what is owned alone');
like($drain->{err}, qr/a living nginx owns it/, 'and says so');

run_ok(@topic, 'create-topic', 'made_later', 1);
wait_drained($path, 90);
once_each($stack, 'it is made: they are sent', $later->{'204 spool'},
    topic => 'made_later');


# --- track-spool drain ---

@ids = leave(120);
$stack->start('kafka');
$drain = spool_tool('drain', '-b', $brokers, $path);
is($drain->{rc}, 0, 'track-spool drain') or diag($drain->{err});
like($drain->{out}, qr/12\d records sent, 0 set aside/, 'says what it did');
once_each($stack, 'drained by hand', \@ids);
is_deeply([grep { $_->{waits} } spool_list($path)], [], 'nothing waits');

is(spool_tool('list', '/nowhere')->{rc}, 2, 'a path that is not there: 2');
is(spool_tool('list')->{rc}, 2, 'no path: 2');
is(spool_tool('dance', $path)->{rc}, 2, 'an unknown command: 2');
my $help = spool_tool('--help');
is($help->{rc}, 0, '--help');
like($help->{out}, qr/^usage: track-spool/, 'tells how');
is(spool_tool('drain', $path)->{rc}, 2, 'drain without brokers: 2');

$nginx->start();

done_testing();
