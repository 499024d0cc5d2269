#!/usr/bin/perl

# Bodies of every kind through a module with ASan and UBSan in it (make
# module-asan, which this test runs): the other tests' files, with nginx started
# under libasan.so.  A finding is in the error log, which fails them; and a
# worker that ended answers nobody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More tests => 5;

use Track::Util;

my $root = "$FindBin::Bin/..";
my $build = $ENV{TRACK_BUILD} || 'build';

my $made = run({ timeout => 900, dir => $root }, 'make', '-s',
    "BUILD=$build", 'module-asan');
is($made->{rc}, 0, 'make module-asan') or diag($made->{out}, $made->{err});

chomp(my $asan = run_ok('gcc', '-print-file-name=libasan.so'));
my $module = ($build =~ m{^/} ? '' : "$root/") . "$build/asan/"
    . 'ngx_http_track_module.so';

for my $test (qw(40-http-bodies 40-http-ndjson 40-http-gzip
                 40-http-smuggling))
{
    # What nginx still holds when a worker ends is not looked for: its pools go
    # with the process.
    my $run = run({ timeout => 600, dir => $root, env => {
        TRACK_MODULE  => $module,
        TRACK_PRELOAD => $asan,
        ASAN_OPTIONS  => 'detect_leaks=0',
        UBSAN_OPTIONS => 'print_stacktrace=1',
    } }, $^X, "-I$root/t/lib", "$root/t/$test.t");

    is($run->{rc}, 0, $test) or diag(join '',
        grep { !/^ok / } map { "$_\n" } split /\n/, $run->{out} . $run->{err});
}
