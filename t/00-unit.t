#!/usr/bin/perl

# The C unit tests of t/unit/: lib/ in isolation, under ASan and UBSan. `make
# unit` builds one binary from each test_*.c; each prints TAP and is a subtest
# here. A source without its binary is a failure, not a test less.

use strict;
use warnings;

use FindBin;
use TAP::Parser;
use Test::More;

my $root = "$FindBin::Bin/..";
my @sources = sort glob "$root/t/unit/test_*.c";

# Leaks are bugs of lib/; a sanitizer's report ends the program with 1.
$ENV{ASAN_OPTIONS} = 'detect_leaks=1:abort_on_error=0:exitcode=1';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';

plan tests => @sources + 1;

cmp_ok(scalar @sources, '>', 0, 't/unit/ has tests');

for my $source (@sources) {
    my ($name) = $source =~ m{(test_\w+)\.c$};
    ok(passes($name), $name) or diag("run build/unit/$name to see why");
}


# Runs one binary, showing its lines as a subtest's.
sub passes {
    my ($name) = @_;
    my $binary = "$root/build/unit/$name";

    if (!-x $binary) {
        diag("$binary is missing: run make unit");
        return 0;
    }

    my $parser = TAP::Parser->new({ exec => [$binary] });

    while (my $result = $parser->next()) {
        print '    ', $result->raw(), "\n";
    }

    return !$parser->has_problems();
}
