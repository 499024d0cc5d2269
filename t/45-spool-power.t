#!/usr/bin/perl

# The power fails: what was not synced is gone, names of files and folders
# included.  A library under nginx writes down what was synced (t/shim/disk.c);
# after kill -9 of everything the rest is taken away from the disk, and what was
# acknowledged must be there all the same.  A disk that only says that it synced
# shows that this would be noticed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Path ();
use Test::More;
use Time::HiRes ();

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Spool;
use Track::Util;

disk_shim();
my $stack = edge_stack();
$stack->define('click', name => 'string!');

my $nginx = spool_nginx($stack, spool => 'segment=64k');
my $path = $nginx->dir . '/spool';
my $log = $nginx->dir . '/spool.log';


# What the disk holds for sure, by the log: { names => { path => 1 }, sizes =>
# { path => bytes } }.  A name is there when its folder was synced after it was
# made or renamed.
sub synced {
    my (%waiting, %names, %sizes);

    for (split /\n/, slurp($log)) {
        my ($what, $file, $more) = split / /;

        if ($what eq 'make') {
            $waiting{$file} = 1;

        } elsif ($what eq 'sync') {
            $sizes{$file} = $more;

        } elsif ($what eq 'syncdir') {
            for (grep { m{^\Q$file\E/[^/]+$} } keys %waiting) {
                $names{$_} = 1;
                delete $waiting{$_};
            }

        } elsif ($what eq 'rename') {

            # (A name over an old one: either of them is good.)
            $waiting{$more} = 1 if !$names{$more};
            delete $waiting{$file};
            for my $table (\%names, \%sizes, \%waiting) {
                for my $old (grep { m{^\Q$file\E(/|$)} } keys %$table) {
                    (my $new = $old) =~ s/^\Q$file\E/$more/;
                    my $value = delete $table->{$old};
                    $table->{$new} = $value if $new ne $more
                        || $table == \%sizes;
                }
            }
        }
    }

    return { names => \%names, sizes => \%sizes };
}


# Kills all of nginx and takes away what was not synced; returns how many
# things that were.
sub power_fails {
    my @all = ($nginx->pid, $nginx->children());
    my $lost = 0;

    kill 'KILL', @all;
    wait_for(10, 'nginx to die', sub { !grep { kill 0, $_ } @all });
    unlink $nginx->dir . '/nginx.pid';

    my $synced = synced();
    for my $folder (glob "$path/[0-9a-f]*") {
        if (!$synced->{names}{$folder}) {
            File::Path::remove_tree($folder);
            $lost++;
            next;
        }

        for my $file (glob "$folder/*") {
            my $size = $synced->{sizes}{$file} || 0;

            if (!$synced->{names}{$file}) {
                unlink $file;
                $lost++;

            } elsif (-s $file > $size) {
                truncate $file, $size;
                $lost++;
            }
        }
    }

    unlink $log;
    return $lost;
}


# Starts to write down, with workers that have no spool yet.
sub watch {
    spit($log, '');
    chmod 0666, $log;
    $nginx->reload();
    wait_for(40, 'workers without a spool', sub {
        my %own = map { $_->{edge} => 1 } @{ $nginx->status->{workers} };
        return !grep { $own{ $_->{edge} } } spool_list($path);
    });
}


# Posts from four clients until so many are acknowledged; returns their ids.
sub load {
    my ($n) = @_;
    my @http = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 4;
    my $end = now() + 90;
    my @acked;

    while (@acked < $n && now() < $end) {
        my @ids = map { uuid() } @http;
        $http[$_]->write($http[$_]->request('/track', json_encode(event(
            'click', { name => 'x' x int rand 2000 },
            event_id => $ids[$_])))) for 0 .. $#http;
        my @got = map { $_->read_response() } @http;
        push @acked, map { $got[$_]{status} == 204 ? $ids[$_] : () } 0 .. $#http;
    }

    return @acked;
}


for my $round (1 .. 3) {
    $stack->stop('kafka');
    watch();
    my @acked = load(300);
    cmp_ok(scalar @acked, '>', 20, scalar @acked . ' events were acknowledged');
    my @segments = spool_files($path, '*.seg');
    cmp_ok(scalar @segments, '>', 1, 'in ' . @segments . ' segments');

    # (Something is written while the power fails.)
    my @http = map { Track::HTTP->new($nginx->port)->connect() } 1 .. 4;
    $_->write($_->request('/track', json_encode(event('click',
        { name => 'last' })))) for @http;
    note(power_fails(), ' things were lost');

    is(spool_tool('verify', $path)->{rc}, 0, 'nothing is damaged');
    $stack->start('kafka');
    $nginx->start();
    wait_schema($nginx);
    wait_drained($path, 60);
    once_each($stack, 'acknowledged', \@acked);
}


# The same with a disk whose folders are never synced, then files.
for my $lie ('syncdir lie', 'sync lie') {
    $stack->stop('kafka');
    disk($nginx, $lie);
    watch();
    my @acked = load(40);
    cmp_ok(power_fails(), '>', 0, "$lie: something is lost");
    disk($nginx);
    File::Path::remove_tree(glob "$path/[0-9a-f]*");
    $stack->start('kafka');
    $nginx->start();
    wait_schema($nginx);
    my $times = times_in($stack);
    ok(scalar(grep { !$times->{$_} } @acked), 'and it is noticed');
}

done_testing();
