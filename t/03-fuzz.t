#!/usr/bin/perl

# Every fuzz target over its corpus and some mutations of each input, the same
# ones each time, under ASan and UBSan. `make fuzz-replay` builds one binary
# from each fuzz/fuzz_*.c; fuzz/run goes on where this ends, with libFuzzer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Util;

my $root = "$FindBin::Bin/..";
my $build = $ENV{TRACK_BUILD} || "$root/build";
my @targets = map { m{fuzz_(\w+)\.c$} } sort glob "$root/fuzz/fuzz_*.c";

cmp_ok(scalar @targets, '>', 0, 'there are targets');

for my $target (@targets) {
    my $corpus = "$root/fuzz/corpus/$target";
    my @inputs = glob "$corpus/*";
    cmp_ok(scalar @inputs, '>', 0, "$target has a corpus");

    my $run = run({ timeout => 300, env => {
        ASAN_OPTIONS  => 'detect_leaks=1:abort_on_error=0:exitcode=1',
        UBSAN_OPTIONS => 'print_stacktrace=1',
    } }, "$build/fuzz/replay_$target", '-n', 30, $corpus);

    is($run->{rc}, 0, "$target: nothing is broken")
        or diag(substr $run->{err}, -4000);
    my ($count) = $run->{out} =~ /^(\d+) inputs$/;
    is($count, 31 * @inputs, "$target: all inputs were tried");
}

my $size = 0;
$size += -s for glob "$root/fuzz/corpus/*/*";
cmp_ok($size, '<', 1 << 20, "the corpora are small ($size bytes)");

done_testing();
