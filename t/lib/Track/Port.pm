package Track::Port;

# Blocks of TCP ports for one test process.  A block of twenty is held by a UDP
# socket bound to its first number: the kernel gives it to one process on the
# machine, and takes it back however that process ends.  Ports are below Linux's
# ephemeral range, so no client's own port can be in the way.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET ();

use constant { FIRST => 9000, LAST => 9980, SIZE => 20 };

our @EXPORT_OK = qw(port_block);

my @held;


# The first port of a block that nobody else holds.  $clear->($base) is called
# before its ports are tried: it may end what an earlier, killed test left.
sub port_block {
    my ($clear) = @_;

    for (my $base = FIRST; $base <= LAST; $base += SIZE) {
        my $lock = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1', LocalPort => $base, Proto => 'udp');
        next if !$lock;

        $clear->($base) if $clear;
        next if grep { !_is_free($_) } $base .. $base + SIZE - 1;

        push @held, $lock;
        return $base;
    }

    die "no block of ports is free between " . FIRST . " and " . LAST . "\n";
}


sub _is_free {
    my ($port) = @_;

    return defined IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp',
        Listen => 1, ReuseAddr => 1);
}


1;
