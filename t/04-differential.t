#!/usr/bin/perl

# The JSON scanner against two parsers that share nothing with it, Python's and
# V8's: t/oracle/differential.py says how.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More tests => 3;

use Track::Util;

my $root = "$FindBin::Bin/..";
my $build = $ENV{TRACK_BUILD} || "$root/build";

my $run = run({ timeout => 300 }, 'python3', "$root/t/oracle/differential.py",
    "$build/fuzz/verdict");

is($run->{rc}, 0, 'no disagreement') or diag($run->{err});
my ($texts, $taken) = $run->{out} =~ /^(\d+) texts, (\d+) taken/;
cmp_ok($texts // 0, '>', 20_000, 'of many texts');
cmp_ok($taken // 0, '>', 4_000, 'many of which are JSON');
diag($run->{out}) if !$texts;
