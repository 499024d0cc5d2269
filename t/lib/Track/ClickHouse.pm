package Track::ClickHouse;

# Asks ClickHouse over HTTP.  64-bit integers come back as strings of digits,
# so nothing is rounded on its way into the test.

use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny ();

use Track::Util;

our @EXPORT = qw(clickhouse_rows clickhouse_value clickhouse_do);

my $http = HTTP::Tiny->new(timeout => 30);


# clickhouse_rows($url, $sql) -> list of hashes.
sub clickhouse_rows {
    my ($url, $sql) = @_;
    my $text = _query($url, "$sql FORMAT JSONEachRow");

    return map { json_decode($_) } split /\n/, $text;
}


# The only value of the only row, as text.
sub clickhouse_value {
    my ($url, $sql) = @_;
    my $text = _query($url, "$sql FORMAT TabSeparatedRaw");

    chomp $text;
    return $text;
}


# A statement without rows.
sub clickhouse_do {
    my ($url, $sql) = @_;

    _query($url, $sql);
}


sub _query {
    my ($url, $sql) = @_;
    my $response = $http->request('POST',
        "$url/?database=track&wait_end_of_query=1"
        . '&output_format_json_quote_64bit_integers=1',
        { content => $sql });

    die "ClickHouse: $response->{status}: $response->{content}\n$sql\n"
        if !$response->{success};

    return $response->{content};
}


1;
