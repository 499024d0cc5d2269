#!/usr/bin/perl

# What the documents name is there: files they link to, programs and subcommands,
# make's targets and variables, directives.  And the README in Traditional Chinese
# has the same commands, headings and links as the English one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Util;

chdir root() or die "chdir: $!\n";

my @docs = ('README.md', 'README.zh-TW.md', 'CONTRIBUTING.md', 'CHANGES.md',
    glob 'docs/*.md');
my $makefile = slurp('Makefile');
my $module = slurp('ngx_http_track_module.c');


# The lines of code blocks, without comments; the drawing stands further in.
sub code_of {
    my ($text) = @_;
    my @lines = grep { /^ {4,16}[\x21-\x7e]+/ && !/\xe2[\x94-\x97]/ }
        split /\n/, $text =~ s/ +#.*$//mgr;
    return map { s/^ +| +$//gr } @lines;
}


for my $doc (@docs) {
    my $text = slurp($doc);
    my ($dir) = $doc =~ m{^(.*/)};

    my @missing = grep { !-e(($dir // '') . $_) }
        grep { !/^https?:/ } $text =~ /\]\(([^)#]+)/g;
    is_deeply(\@missing, [], "$doc: linked files are there");

    @missing = grep { !-e } $text =~ m{(?<![\w/])(dev/[a-z]+)(?![\w/.-])}g;
    is_deeply(\@missing, [], "$doc: programs are there");

    my @make = map { split } $text =~ /\bmake ((?:[a-z]+ )*[a-z]+)(?=`|$)/mg;
    @missing = grep { $makefile !~ /^\.PHONY:.*\b$_\b/m } @make;
    is_deeply(\@missing, [], "$doc: make's targets are there");

    my @variables = $text =~ /\bmake [^\n]*?\b([A-Z_]+)=/g;
    @missing = grep { $makefile !~ /^\Q$_\E +\?=/m } @variables;
    is_deeply(\@missing, [], "$doc: make's variables are there");

    my @directives = join("\n", code_of($text)) =~ /^(track_[a-z_]+)\s/mg;
    @missing = grep { $module !~ /ngx_string\("\Q$_\E"\)/ } @directives;
    is_deeply(\@missing, [], "$doc: directives are there");
}

my ($english, $chinese) = map { slurp($_) } 'README.md', 'README.zh-TW.md';

is_deeply([code_of($chinese)], [code_of($english)],
    'both READMEs have the same code');

sub count { my ($re, $text) = @_; my $n = () = $text =~ /$re/g; return $n }

for my $what (['headings', qr/^#+ /m], ['rows of tables', qr/^\|/m],
              ['items', qr/^(?:- |\d+\. )/m])
{
    my ($name, $re) = @$what;
    is(count($re, $chinese), count($re, $english), "and as many $name");
}

done_testing();
