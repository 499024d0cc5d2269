#!/usr/bin/perl

# loader.conf: the example has every key; what is unknown, twice, missing or out of
# its bounds is refused with file and line; long lines and odd characters pass.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use Test::More;

use Track::Util;

my $LOADER = root() . '/build/track-loader';
my $EXAMPLE = root() . '/loader/loader.conf.example';
my $dir = File::Temp->newdir();
my $file = "$dir/loader.conf";

my $GOOD = <<'CONF';
[kafka]
brokers = 127.0.0.1:1
[clickhouse]
url = http://127.0.0.1:1
[postgres]
conninfo = host=127.0.0.1 port=1
CONF


# Whatever needs the file first tells what is wrong with it; a good one gets as far
# as PostgreSQL, at which nobody answers here.
sub said {
    my ($text) = @_;

    spit($file, $text);
    my $got = run({ timeout => 20 }, $LOADER, '-c', $file, 'migrate');
    is($got->{rc}, 1, 'exit status 1');
    return $got->{err};
}

sub passes {
    my ($name, $text) = @_;
    like(said($text), qr/cannot connect to PostgreSQL/, $name);
}

sub refused {
    my ($name, $text, $reason) = @_;
    my $got = said($text);

    like($got, qr/\Q$file\E/, "$name: names the file");
    like($got, $reason, $name);
    is(scalar(() = $got =~ /\n/g), 1, "$name: in one line");
}


is(run_ok($LOADER, 'check', '--example'), slurp($EXAMPLE),
    'loader.conf.example is what the table of keys says');

my %section;
my $section = '';
for (split /\n/, slurp($EXAMPLE)) {
    $section = $1 if /^\[(.*)\]$/;
    $section{$section}{$1} = $2 if /^#?([a-z_.]+) =(?: (.*))?$/;
}

passes('the least there must be', $GOOD);

# Each default of the example, set: means the same, so nothing is refused.
my $all = '';
for my $name (sort keys %section) {
    next if $name eq 'kafka.properties';
    $all .= "[$name]\n" . join '', map { "$_ = " . ($section{$name}{$_} // '') . "\n" }
        sort keys %{ $section{$name} };
}
$all =~ s/port=\d+|host=127.0.0.1 dbname/host=127.0.0.1 port=1 dbname/;
passes('every key at its default', $all);

refused('an unknown key', "$GOOD\n[batch]\nrow = 1\n", qr/:9: unknown key row in \[batch\]/);
refused('an unknown section', "$GOOD\n[bach]\nrows = 1\n",
    qr/:9: unknown section \[bach\]/);
refused('a key outside of sections', "rows = 1\n$GOOD", qr/:1: unknown section \[\]/);
refused('a key twice', "${GOOD}conninfo = x\n", qr/:7: conninfo stands twice/);
refused('a line that is neither', "${GOOD}hello\n", qr/:7: neither/);
refused('not a number', "$GOOD\n[batch]\nrows = many\n",
    qr/:9: rows in \[batch\] is "many", but must be a number/);
refused('a number with more behind', "$GOOD\n[batch]\nrows = 5 5\n", qr/:9: rows/);
refused('a negative number', "$GOOD\n[batch]\nrows = -5\n", qr/:9: rows/);
refused('a time without unit', "$GOOD\n[batch]\nage = 500\n",
    qr/:9: age in \[batch\] is "500", but must be a time such as/);
refused('no such unit', "$GOOD\n[batch]\nbytes = 5t\n", qr/must be a size such as/);
refused('above the bounds', "$GOOD\n[batch]\nage = 1h\n",
    qr/:9: age in \[batch\] is 1h, but must lie between 1 and 60000 ms/);
refused('2^64', "$GOOD\n[batch]\nrows = 18446744073709551616\n", qr/:9: rows/);
refused('a batch above the memory', "$GOOD\n[batch]\nbytes = 64m\n[memory]\nlimit = 32m\n",
    qr/bytes in \[batch\] must not be above limit in \[memory\]/);
refused('a missing key', "[kafka]\nbrokers = x\n[postgres]\nconninfo = x\n",
    qr/url is missing in \[clickhouse\]/);
refused('a property twice', "$GOOD\n[kafka.properties]\na = 1\na = 2\n",
    qr/:10: a stands twice in \[kafka\.properties\]/);

my $brokers = join ',', map { "127.0.0.1:$_" } 10000 .. 10500;
passes('a line of 8 KB', $GOOD =~ s/127\.0\.0\.1:1\n/$brokers\n/r);
refused('the line after it', ($GOOD =~ s/127\.0\.0\.1:1\n/$brokers\n/r) . "x = 1\n",
    qr/:7: unknown key x/);
like(said($GOOD =~ s/port=1/port=1 user='a ; b' password='# x'/r),
    qr/connection to server at "127\.0\.0\.1", port 1 failed/,
    'conninfo may hold ; and #');

spit("$dir/password", "secret\n");
passes('a password file', $GOOD =~ s/url/password_file = $dir\/password\nurl/r);
refused('no such password file', $GOOD =~ s/url/password_file = $dir\/none\nurl/r,
    qr/cannot read password_file .*No such file/);
refused('both', $GOOD =~ s/url/password = x\npassword_file = $dir\/password\nurl/r,
    qr/has both password and password_file/);

my $none = run($LOADER, '-c', "$dir/none", 'migrate');
is($none->{rc}, 1, 'no file: exit status 1');
like($none->{err}, qr{cannot open \Q$dir\E/none: No such file}, 'in a sentence');

done_testing();
