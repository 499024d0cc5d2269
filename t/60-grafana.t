# The dashboards without a Grafana: the committed files are what is generated, and
# sound; and every panel's SQL, with the plugin's macros expanded as the plugin
# does, gives the right answer on real tables, as the read-only user.  The right
# answers are counted here, row by row, in Perl.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib";

use File::Temp ();
use POSIX ();
use Test::More;
use Track::ClickHouse;
use Track::Stack;
use Track::Util;

my $grafana = root() . '/grafana';


# The files.

my $made = File::Temp::tempdir(CLEANUP => 1);
run_ok({ dir => $grafana }, 'node', 'build.mjs', $made);

sub names { return [sort map { s{.*/}{}r } glob "$_[0]/*.json"] }

is_deeply(names("$grafana/dashboards"), names($made), 'all dashboards are committed');
is(slurp("$grafana/dashboards/$_"), slurp("$made/$_"),
    "$_ is what grafana/src makes (npm run build)") for @{ names($made) };

my $types = run({ dir => $grafana, timeout => 120 }, 'npm', 'run', '--silent', 'check');
is($types->{rc}, 0, 'the type checker finds nothing') or diag($types->{out});

my $board = json_decode(slurp("$grafana/dashboards/evt-overview.json"));
is($board->{uid}, 'evt-overview', 'uid');
is($board->{schemaVersion}, 42, 'schema version of the classic model');
ok(!$board->{editable}, 'not editable: it comes from a file');
is_deeply([map { "$_->{type} $_->{name}" } @{ $board->{templating}{list} }],
    ['datasource ds'], 'the data source is a variable');

my %panel = map { $_->{title} => $_ } @{ $board->{panels} };
is_deeply([sort keys %panel], [sort 'Events', 'Users', 'Sessions',
    'Events per user', 'Events by type', 'Top events', 'Last events'], 'panels');
is(scalar(keys %{ { map { $_->{id} => 1 } values %panel } }), 7, 'with an id each');

my (%cell, $overlap);
for my $title (sort keys %panel) {
    my $at = $panel{$title}{gridPos};

    ok(length $panel{$title}{description} > 10, "$title: described");
    is($panel{$title}{datasource}{uid}, '${ds}', "$title: asks the variable's source");
    cmp_ok($at->{x} + $at->{w}, '<=', 24, "$title: within the grid");
    ok($panel{$title}{fieldConfig}{defaults}{unit} || $panel{$title}{type} eq 'table',
        "$title: has a unit");
    for my $x ($at->{x} .. $at->{x} + $at->{w} - 1) {
        $overlap ||= $cell{"$x $_"}++ for $at->{y} .. $at->{y} + $at->{h} - 1;
    }
}
ok(!$overlap, 'no panel lies on another');

my $source = slurp("$grafana/provisioning/datasources/nginx-track.yaml");
my ($plugin) = $source =~ /^\s+type: (\S+)$/m;
is_deeply([map { $_->{datasource}{type} } map { $_, @{ $_->{targets} } } values %panel],
    [($plugin) x 14], 'panels want the plugin that is provisioned');


# Rows: three days (a part each), fifteen types, known and unknown users, one day after another
# at midnight, and times at which the range's ends cut.

my $stack = Track::Stack->new('clickhouse');
my $url = $stack->env('CLICKHOUSE_URL');
my $as_reader = $url =~ s{//}{//grafana_reader:@}r;

run_ok('curl', '-sS', '--fail-with-body', "$url/?wait_end_of_query=1",
    '--data-binary', "\@$_") for sort glob root() . '/migrations/clickhouse/*.sql';

my $MIDNIGHT = 1_746_230_400_000;       # 2025-05-03T00:00:00Z
my $DAY = 86_400_000;
my $random = 7;
my @rows;

sub random {
    $random = ($random * 1_103_515_245 + 12_345) % 2**31;
    return int($random / 2**16) % $_[0];
}

# random() has 15 bits; a time needs more.
sub moment { return $MIDNIGHT - $DAY + random(72) * 3_600_000 + random(3600) * 1000 + random(1000) }

sub row {
    my ($ms, $type) = @_;
    my $number = @rows;
    my $kind = random(5);
    my $person = random(40);

    push @rows, {
        ms           => $ms,
        event_type   => $type,
        event_id     => sprintf('00000000-0000-4000-8000-%012d', $number),
        event_date   => POSIX::strftime('%Y-%m-%d', gmtime int $ms / 1000),
        event_time   => _time($ms),
        user_id      => $kind == 0 ? "user-$person" : '',
        anonymous_id => $kind <= 1 ? "anon-$person" : '',
        session_id   => $kind <= 3 ? 'session-' . random(60) : '',
        context      => $kind == 2 ? '' : qq({"page_url":"/p/\x{fc}$person"}),
        ip           => "192.0.2.$person",
        kafka_partition => $number % 4,
        kafka_offset    => int $number / 4,
    };
}

sub _time {
    return POSIX::strftime('%Y-%m-%d %H:%M:%S', gmtime int $_[0] / 1000)
        . sprintf '.%03d', $_[0] % 1000;
}

my @types = (qw(page_view click purchase), "type 'quoted'", "\x{8cfc}\x{8cb7}",
    map { "rare_$_" } 1 .. 10);

# Low numbers come oftener, so that types differ in frequency.
row(moment(), $types[random(1 + random(scalar @types))])
    for 1 .. 900;
row($MIDNIGHT + $_, 'page_view') for -1, 0, 1, 999, 1000, 1001, 59_999, 60_000;

clickhouse_do($url, 'INSERT INTO track.events FORMAT JSONEachRow '
    . join "\n", map { my %row = %$_; delete $row{ms}; json_encode(\%row) } @rows);


# The plugin's macros (version 4.20), for a range in ms and an interval in s.

sub expand {
    my ($sql, $range) = @_;
    my ($from, $to) = @$range{qw(from to)};
    my %plain = (
        fromTime => sprintf('toDateTime(%d)', $from / 1000),
        toTime   => sprintf('toDateTime(%d)', $to / 1000),
    );
    my %call = (
        timeFilter_ms => sub { "$_[0] >= fromUnixTimestamp64Milli($from) AND"
            . " $_[0] <= fromUnixTimestamp64Milli($to)" },
        timeInterval => sub { "toStartOfInterval(toDateTime($_[0]), INTERVAL"
            . " $range->{interval} second)" },
    );

    $sql =~ s{\$__(\w+)\b(?:\(([^()]*)\))?}{
        defined $2 && $call{$1} ? $call{$1}->($2)
            : !defined $2 && $plain{$1} || die "macro \$__$1 is not known here\n" }gex;
    return $sql;
}

sub ask {
    my ($title, $range, $from) = @_;

    return clickhouse_rows($from || $as_reader,
        expand($panel{$title}{targets}[0]{rawSql}, $range));
}


# The right answers.

sub inside {
    my ($range) = @_;

    return grep { $_->{ms} >= $range->{from} && $_->{ms} <= $range->{to} } @rows;
}

sub visitor {
    my ($row) = @_;
    my ($known) = grep { $_ ne '' } @$row{qw(user_id anonymous_id session_id)};

    return $known // '';
}

sub count_by {
    my ($key, @of) = @_;
    my %count;

    $count{$key->($_)}++ for @of;
    return \%count;
}

# The most frequent types, [type, count], most first, at most 12.
sub frequent {
    my $count = count_by(sub { $_[0]{event_type} }, @_);
    my @order = sort { $count->{$b} <=> $count->{$a} || _bytes($a) cmp _bytes($b) }
        keys %$count;

    splice @order, 12 if @order > 12;
    return map { [$_, $count->{$_}] } @order;
}

sub _bytes {
    my ($text) = @_;

    utf8::encode($text);
    return $text;
}

sub by_type {
    my ($range, @of) = @_;
    my %named = map { $_->[0] => 1 } frequent(@of);
    my $step = $range->{interval};

    return count_by(sub {
        my $at = int($_[0]{ms} / 1000 / $step) * $step;
        my $type = $named{ $_[0]{event_type} } ? $_[0]{event_type} : '(others)';
        POSIX::strftime('%Y-%m-%d %H:%M:%S ', gmtime $at) . $type;
    }, @of);
}

sub last_events {
    my @of = sort { $b->{ms} <=> $a->{ms}
        || $a->{kafka_partition} <=> $b->{kafka_partition}
        || $b->{kafka_offset} <=> $a->{kafka_offset} } @_;

    splice @of, 100 if @of > 100;
    return map { {
        Time    => $_->{event_time},
        Event   => $_->{event_type},
        User    => visitor($_),
        Session => $_->{session_id},
        Page    => $_->{context} =~ m{"(/[^"]+)"} ? $1 : '',
        Address => $_->{ip},
        'Event id' => $_->{event_id},
    } } @of;
}


my @ranges = (
    { name => 'everything', from => $MIDNIGHT - 2 * $DAY, to => $MIDNIGHT + 3 * $DAY, interval => 3600 },
    { name => 'one day', from => $MIDNIGHT, to => $MIDNIGHT + $DAY - 1, interval => 600 },
    { name => 'over midnight', from => $MIDNIGHT - 7_200_000, to => $MIDNIGHT + 3_600_000, interval => 60 },
    { name => 'one second, to the millisecond', from => $MIDNIGHT, to => $MIDNIGHT + 1000, interval => 1 },
    { name => 'one event', from => $MIDNIGHT + 60_000, to => $MIDNIGHT + 60_000, interval => 1 },
);

for my $range (@ranges) {
    my @of = inside($range);
    my $name = "$range->{name} (" . @of . ' events)';
    my @known = grep { visitor($_) ne '' } @of;
    my $users = count_by(\&visitor, @known);
    my $sessions = count_by(sub { $_[0]{session_id} },
        grep { $_->{session_id} ne '' } @of);
    my ($got) = ask('Events', $range);

    cmp_ok(scalar @of, '>', 0, "$range->{name}: has events");
    is($got->{Events}, @of, "$name: Events");
    is((ask('Users', $range))[0]{Users}, keys %$users, "$name: Users");
    is((ask('Sessions', $range))[0]{Sessions}, keys %$sessions, "$name: Sessions");

    ($got) = ask('Events per user', $range);
    my $per_user = keys %$users ? @known / keys %$users : undef;
    is(defined $got->{'Events per user'} ? sprintf('%.9f', $got->{'Events per user'}) : undef,
        defined $per_user ? sprintf('%.9f', $per_user) : undef, "$name: Events per user");

    my @series = ask('Events by type', $range);
    is_deeply({ map { ("$_->{time} $_->{type}" => 0 + $_->{events}) } @series },
        by_type($range, @of), "$name: Events by type");
    is_deeply([map { $_->{time} } @series], [sort map { $_->{time} } @series],
        "$name: in the order of time");

    is_deeply([map { [$_->{type}, 0 + $_->{events}] } ask('Top events', $range)],
        [frequent(@of)], "$name: Top events");
    is_deeply([ask('Last events', $range)], [last_events(@of)], "$name: Last events");
}

cmp_ok(scalar(keys %{ count_by(sub { $_[0]{event_type} }, inside($ranges[0])) }), '>', 12,
    'more types than have a colour were among them');


# A range without events: zeros, no rows, no errors.

my $empty = { from => $MIDNIGHT + 10 * $DAY, to => $MIDNIGHT + 11 * $DAY, interval => 60 };
is_deeply([ask('Events', $empty)], [{ Events => 0 }], 'empty: Events');
is_deeply([ask('Users', $empty)], [{ Users => 0 }], 'empty: Users');
is_deeply([ask('Sessions', $empty)], [{ Sessions => 0 }], 'empty: Sessions');
is_deeply([ask('Events per user', $empty)], [{ 'Events per user' => undef }],
    'empty: Events per user');
is_deeply([ask($_, $empty)], [], "empty: $_")
    for 'Events by type', 'Top events', 'Last events';


# What the plugin needs of a time series, and what the server should not read.

my $series = expand($panel{'Events by type'}{targets}[0]{rawSql}, $ranges[0]);
is($panel{'Events by type'}{targets}[0]{format}, 0, 'Events by type is a time series');
is_deeply([clickhouse_rows($url, 'SELECT DISTINCT toTypeName(time) AS time,'
        . " toTypeName(type) AS type, toTypeName(events) AS events FROM ($series)")],
    [{ time => q{DateTime('UTC')}, type => 'String', events => 'UInt64' }],
    'time, label, value');
is($panel{$_}{targets}[0]{format}, 1, "$_ is a table")
    for grep { $_ ne 'Events by type' } sort keys %panel;

for my $title (sort keys %panel) {
    my $plan = join "\n", map { $_->{explain} } clickhouse_rows($url, 'SELECT * FROM'
        . ' (EXPLAIN indexes = 1 '
        . expand($panel{$title}{targets}[0]{rawSql}, $ranges[1]) . ')');
    my @opened = $plan =~ m{Parts: (\d+)/3\b}g;

    ok(@opened && !(grep { $_ != 1 } @opened),
        "$title: of three days' parts one is opened") or diag(_bytes($plan));
}

# The clock of Grafana's machine has no say: the same rows in any time zone.
my @elsewhere = clickhouse_rows($as_reader,
    expand($panel{'Events'}{targets}[0]{rawSql}, $ranges[1])
    . q{ SETTINGS session_timezone = 'Asia/Taipei'});
is_deeply(\@elsewhere, [ask('Events', $ranges[1])], 'and the same in Taipei');

my $refused = eval { clickhouse_do($as_reader, 'TRUNCATE TABLE track.events'); '' } // $@;
like($refused, qr/READONLY|Not enough privileges|ACCESS_DENIED/, 'their user may only read');

done_testing();
