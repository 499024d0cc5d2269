#!/usr/bin/perl

# The disk hangs for a second only when a reload comes: the old worker leaves
# all the same, without waiting for the thread that hangs in it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::Spool;
use Track::Util;

disk_shim();

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $nginx = spool_nginx($stack, workers => 1);

is(scalar @{ spool_post($nginx, 3, path => '/spool')->{'204 spool'} || [] }, 3,
    'a spool that works');

disk($nginx, 'sync hang');
spool_post($nginx, 1, path => '/spool');

my ($old) = $nginx->workers();
$nginx->signal('HUP');
wait_for(40, 'the old worker to leave', sub { !kill 0, $old });
pass('the old worker has left');

disk($nginx);
done_testing();
