#!/usr/bin/perl

# The kill test, twenty rounds in a row on one stack.  TRACK_KILL_ROUNDS sets
# another number, TRACK_SEED repeats a run's choices.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use Track::Kill;

kill_rounds($ENV{TRACK_KILL_ROUNDS} || 20);

done_testing();
