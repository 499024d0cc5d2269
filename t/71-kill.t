#!/usr/bin/perl

# nginx worker, loader, broker and ClickHouse each killed with -9 under load, in
# one round: each acknowledged event is in ClickHouse, each Kafka offset exactly
# once.  dev/test long does twenty.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Kill;

kill_rounds($ENV{TRACK_KILL_ROUNDS} || 1);

done_testing();
