#!/usr/bin/perl

# `make check` under prove: style, function lengths, layering, generated files,
# scripts, cppcheck, clang-tidy. The checks are programs of dev/check/.

use strict;
use warnings;

use FindBin;
use Test::More;

my $dir = "$FindBin::Bin/../dev/check";
my @checks = split ' ', `$dir/all --list`;

plan tests => @checks + 1;

cmp_ok(scalar @checks, '>', 0, 'there are checks');

for my $check (@checks) {
    my $said = `$dir/$check 2>&1`;
    is($?, 0, $check) or diag($said);
}
