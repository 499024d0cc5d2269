package Track::HTTP;

# An HTTP client on a raw socket, for what ordinary clients do not do: a body
# byte by byte, in odd chunks, two requests in one packet, a half-closed or
# reset connection.  Every step is under a deadline, so a server that hangs
# fails a test instead of stopping it.

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use Socket qw(SOL_SOCKET SO_LINGER SHUT_WR IPPROTO_TCP TCP_NODELAY);
use Time::HiRes ();

use Track::Util;

use constant TIMEOUT => 30;


# Track::HTTP->new($port): a keep-alive connection, opened when first needed.
sub new {
    my ($class, $port) = @_;

    return bless { port => $port, buffer => '' }, $class;
}


sub connect {
    my ($self) = @_;

    $self->{socket} = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $self->{port},
        Proto => 'tcp', Timeout => TIMEOUT)
        or die "cannot connect to port $self->{port}: $!\n";
    setsockopt $self->{socket}, IPPROTO_TCP, TCP_NODELAY, 1;
    $self->{buffer} = '';

    return $self;
}


sub close {
    my ($self) = @_;
    CORE::close(delete $self->{socket}) if $self->{socket};
}


# Closes with a reset, as a client that crashes behind a NAT.
sub reset {
    my ($self) = @_;

    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0;
    $self->close();
}


sub half_close { shutdown $_[0]{socket}, SHUT_WR }

sub socket { return $_[0]{socket} }


# Sends bytes as they are.
sub write {
    my ($self, $bytes) = @_;
    $self->connect() if !$self->{socket};
    my $end = now() + TIMEOUT;
    my $select = IO::Select->new($self->{socket});
    my $done = 0;

    while ($done < length $bytes) {
        die "sending took too long\n" if !$select->can_write($end - now());
        my $n = syswrite $self->{socket}, $bytes, length($bytes) - $done,
            $done;
        die "cannot send: $!\n" if !defined $n;
        $done += $n;
    }

    return $self;
}


# One byte a packet, $pause seconds apart.
sub write_slowly {
    my ($self, $bytes, $pause) = @_;

    for my $byte (split //, $bytes) {
        $self->write($byte);
        Time::HiRes::sleep($pause) if $pause;
    }

    return $self;
}


# The text of a POST.  %header adds to or (undef) takes from the usual ones.
# A body of characters is sent as UTF-8, one of bytes as it is.
sub request {
    my ($self, $path, $body, %header) = @_;
    utf8::encode($body) if utf8::is_utf8($body);
    my $method = delete $header{':method'} || 'POST';
    my %all = (
        'Host'           => 'localhost',
        'Content-Type'   => 'application/json',
        'Content-Length' => length $body,
        %header,
    );

    my $text = "$method $path HTTP/1.1\r\n";
    $text .= "$_: $all{$_}\r\n" for grep { defined $all{$_} } sort keys %all;

    return "$text\r\n$body";
}


# A chunked POST; the body's pieces are its chunks.
sub chunked_request {
    my ($self, $path, @chunks) = @_;
    my $body = join '', map { sprintf("%x\r\n", length) . "$_\r\n" } @chunks;

    return $self->request($path, "${body}0\r\n\r\n",
        'Content-Length' => undef, 'Transfer-Encoding' => 'chunked');
}


# POSTs a body and returns the response (see read_response).
sub post {
    my ($self, $path, $body, %header) = @_;
    $body = json_encode($body) if ref $body;

    return $self->write($self->request($path, $body, %header))
        ->read_response();
}


sub get {
    my ($self, $path) = @_;

    return $self->write($self->request($path, '', ':method' => 'GET',
        'Content-Type' => undef, 'Content-Length' => undef))
        ->read_response();
}


# { status, reason, header (names in lower case), body, json (if it is), keep
# (the connection may be used again) }; undef when the server closed the
# connection without a word.
sub read_response {
    my ($self, $method) = @_;
    my $end = now() + TIMEOUT;

    my $head = $self->_until("\r\n\r\n", $end);
    return undef if !defined $head;

    my ($first, @lines) = split /\r\n/, $head;
    $first =~ m{^HTTP/1\.[01] (\d{3}) ?(.*)$} or die "not HTTP: $first\n";
    my $response = { status => $1, reason => $2, header => _headers(@lines) };

    return $self->read_response($method) if $response->{status} == 100;

    my $no_body = $response->{status} == 204 || ($method || '') eq 'HEAD';
    $response->{body} = $no_body ? '' : $self->_body($response->{header}, $end);
    $response->{json} = json_decode($response->{body})
        if ($response->{header}{'content-type'} || '') =~ m{^application/json}
           && length $response->{body};
    $response->{keep} = ($response->{header}{connection} || '') ne 'close';
    $self->close() if !$response->{keep};

    return $response;
}


sub _headers {
    my %header;

    for (@_) {
        my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or die "bad header: $_\n";
        $name = lc $name;
        $header{$name} = exists $header{$name}
            ? "$header{$name}, $value" : $value;
    }

    return \%header;
}


sub _body {
    my ($self, $header, $end) = @_;

    return $self->_chunks($end)
        if ($header->{'transfer-encoding'} || '') eq 'chunked';

    return $self->_take($header->{'content-length'}, $end)
        if defined $header->{'content-length'};

    while ($self->_more($end)) { }
    return substr $self->{buffer}, 0, length $self->{buffer}, '';
}


sub _chunks {
    my ($self, $end) = @_;
    my $body = '';

    while (1) {
        my $size = hex $self->_until("\r\n", $end);
        $body .= $self->_take($size, $end);
        $self->_until("\r\n", $end);
        return $body if $size == 0;
    }
}


sub _until {
    my ($self, $mark, $end) = @_;
    my $at;

    while (($at = index $self->{buffer}, $mark) < 0) {
        next if $self->_more($end);
        return undef if $self->{buffer} eq '';
        die "the connection was closed within a response: $self->{buffer}\n";
    }

    my $text = substr $self->{buffer}, 0, $at, '';
    substr $self->{buffer}, 0, length $mark, '';

    return $text;
}


sub _take {
    my ($self, $n, $end) = @_;

    while (length $self->{buffer} < $n) {
        $self->_more($end) or die "the connection was closed within a body\n";
    }

    return substr $self->{buffer}, 0, $n, '';
}


# Reads what is there.  0: the server closed.
sub _more {
    my ($self, $end) = @_;
    my $left = $end - now();

    die sprintf("no answer within %d s\n", TIMEOUT)
        if $left <= 0 || !IO::Select->new($self->{socket})->can_read($left);

    return sysread $self->{socket}, $self->{buffer}, 65536,
        length $self->{buffer};
}


1;
