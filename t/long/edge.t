#!/usr/bin/perl

# The storm of t/72-storm.t with two hundred blows in a row.  TRACK_BLOWS sets
# another number, TRACK_SEED repeats a run's choices.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Track::Storm;

storm($ENV{TRACK_BLOWS} || 200);

done_testing();
