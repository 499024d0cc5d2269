#!/usr/bin/perl

# Twelve blows at an edge with a spool: workers, all of nginx, Kafka, loader,
# ClickHouse, PostgreSQL killed with -9, the spool's disk gone, under load.
# dev/test long does two hundred.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Storm;

storm($ENV{TRACK_BLOWS} || 12);

done_testing();
