#!/usr/bin/perl

# Housekeeping of the spool: what of it fails or hangs does not hold up the
# rest.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Spool;
use Track::Util;

disk_shim();
my $stack = edge_stack();
$stack->define('click', name => 'string!');


# --- a segment that cannot be unlinked ---

my $nginx = spool_nginx($stack, workers => 1, spool => 'segment=64k');
my $path = $nginx->dir . '/spool';

sub segments { return scalar @{[ spool_files($path, '*.seg') ]} }

$stack->stop('kafka');
wait_for(20, 'the spool', sub { spool_post($nginx, 1)->{'204 spool'} });
my $ids = spool_post($nginx, 600);
is_deeply([keys %$ids], ['204 spool'], 'events in the spool');
cmp_ok(segments(), '>=', 3, 'in several segments');

disk($nginx, 'unlink EIO');
$stack->start('kafka');
wait_for(60, 'the others to be removed',
    sub { segments() == 1 });
like((spool_files($path, '*.seg'))[0], qr/00000001\.seg$/,
    'the others are removed');
ok($nginx->log_count(qr/unlink\(\) of "00000001\.seg" .* failed/),
    'the log names it');
wait_drained($path, 20);
pass('its records are marked');

kill 'KILL', $nginx->workers();
wait_for(10, 'a new worker', sub { $nginx->workers() == 1 });
Time::HiRes::sleep(2);
once_each($stack, 'after a kill', $ids->{'204 spool'});

disk($nginx);
wait_for(40, 'it to be removed', sub { !segments() });
pass('mended: it is removed');
$nginx->stop('QUIT', 20);


# --- what is there counts before it has been read ---

$nginx = spool_nginx($stack, workers => 1,
    spool => 'max_size=256k segment=64k');
$path = $nginx->dir . '/spool';
$stack->stop('kafka');
my @large = (fields => { name => 'x' x 20000 });
wait_for(40, 'a full spool', sub { spool_post($nginx, 1, @large)->{503} });
cmp_ok(spool_waits($path), '>=', 8, 'a full spool');

disk($nginx, 'read hang');
$nginx->crash();
wait_schema($nginx);
Time::HiRes::sleep(2);
is_deeply([keys %{ spool_post($nginx, 5, @large) }], ['503'],
    'nginx is new, and the spool cannot be read: full it stays');
disk($nginx);
my $used = 0;
$used += -s for spool_files($path, '*');
cmp_ok($used, '<=', 256 * 1024 + 1024, 'max_size is kept');

done_testing();
