# The SDK without a browser: its sources and its error codes are in order, and
# each test of sdk/test/ (against the built script) is a test here.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib";

use Test::More;
use Track::Util;

my $sdk = root() . '/sdk';

my $codes = run(root() . '/dev/generate-error-codes', '--check');
is($codes->{rc}, 0, 'docs/ERRORS.md and sdk/src/error-codes.ts are what'
    . ' lib/trk_error.h makes them') or diag($codes->{err});

my $types = run({ dir => $sdk, timeout => 120 }, 'npm', 'run', '--silent', 'check');
is($types->{rc}, 0, 'the type checker finds nothing')
    or diag($types->{out});

ok(-s "$sdk/dist/$_", "dist/$_ is built (make sdk)")
    for qw(track.js track.js.map index.js index.d.ts);

my $tests = run({ dir => $sdk, timeout => 120 }, 'npm', 'run', '--silent', 'test');
my @results = grep { /^(?:not )?ok \d+ - / } split /\n/, $tests->{out};

for my $result (@results) {
    my ($not, $name) = $result =~ /^(not )?ok \d+ - (.*)/;
    ok(!$not, $name);
}

cmp_ok(scalar @results, '>=', 25, 'all of sdk/test/ ran');
is($tests->{rc}, 0, 'and the runner is content')
    or diag($tests->{out}, $tests->{err});

done_testing();
