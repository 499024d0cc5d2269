#!/usr/bin/perl

# track-loader migrate: applies what is pending, once, in order, under a lock;
# knows what was applied and refuses what has changed since; bears being killed,
# run twice, run side by side, and a DBA who was there before it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA ();
use File::Temp ();
use Test::More;

use Track::ClickHouse;
use Track::Psql;
use Track::Stack;
use Track::Util;

my $LOADER = root() . '/build/track-loader';
my @KINDS = qw(postgres clickhouse);

my $stack = Track::Stack->new(qw(postgres kafka clickhouse));
my $clickhouse = $stack->env('CLICKHOUSE_URL');
my $brokers = $stack->env('KAFKA_BROKERS');
my $dir = File::Temp->newdir();
my $number = 0;
my ($database, $conf, $folder);


# A place where nothing was ever applied: an empty database in PostgreSQL, none in
# ClickHouse, topics of a new name, migrations that may be changed.
sub fresh {
    my (%option) = @_;
    my $n = ++$number;

    $database = database($stack, "fresh$n");
    clickhouse_run('DROP DATABASE IF EXISTS track SYNC');

    $folder = "$dir/migrations$n";
    run_ok('cp', '-r', root() . '/migrations', $folder);
    $conf = configure("loader$n.conf", topics => "fresh$n", %option);
}

sub configure {
    my ($name, %option) = @_;
    my $url = $option{clickhouse} // $clickhouse;
    my $owner = $option{postgres} // $database;
    my $directory = $option{directory} // $folder;

    spit("$dir/$name", <<"CONF");
[kafka]
brokers = $brokers
topic = $option{topics}
rejected_topic = $option{topics}_rejected
dead_topic = $option{topics}_dead
ledger_topic = $option{topics}_ledger
partitions = 3
[clickhouse]
url = $url
[postgres]
conninfo = host=127.0.0.1 port=1 user=nobody
[migrate]
postgres = $owner
directory = $directory
CONF

    return "$dir/$name";
}

# clickhouse_do() names the database, which is not there always.
sub clickhouse_run {
    my ($sql) = @_;

    return run_ok({ in => $sql }, 'curl', '-sS', '--fail-with-body',
        "$clickhouse/?wait_end_of_query=1", '--data-binary', '@-');
}

sub migrate_now { return run({ timeout => 60 }, $LOADER, '-c', $conf, 'migrate') }

sub works {
    my ($name, $wanted) = @_;
    my $got = migrate_now();

    is($got->{rc}, 0, $name) or diag("$got->{out}$got->{err}");
    is_deeply([sort grep { !/^waiting for another/ } split /\n/, $got->{out}],
        [sort @$wanted],
        "$name: it says what it did");
    is($got->{err}, '', "$name: without complaint");
}

sub refused {
    my ($name, $reason) = @_;
    my $got = migrate_now();

    is($got->{rc}, 1, "$name: refused") or diag("$got->{out}$got->{err}");
    like($got->{err}, $reason, "$name: in a sentence");
    is(scalar(() = $got->{err} =~ /\n/g), 1, "$name: of one line");
    return $got;
}

sub files {
    my ($kind) = @_;

    return map { s{.*/}{}r } sort glob "$folder/$kind/*.sql";
}

sub applied { return map { my $k = $_; map { "$k: $_ applied" } files($k) } @KINDS }

sub topics {
    return map { "kafka: topic fresh$number$_ made" } '', qw(_rejected _dead _ledger);
}

# What a history holds: name => hash.
sub history {
    my ($kind) = @_;

    my $text = $kind eq 'postgres'
        ? run_ok('psql', '-XqAt', '-F', "\t", '-d', $database, '-c',
            'SELECT name, sha256 FROM schema_migrations')
        : clickhouse_run('SELECT name, sha256 FROM track.schema_migrations');

    return { map { split /\t/ } split /\n/, $text };
}

sub in_postgres {
    my ($sql) = @_;
    chomp(my $text = run_ok('psql', '-XqAt', '-d', $database, '-c', $sql));

    return $text;
}


# --- from nothing, and again ---

fresh();
works('from nothing', [applied(), topics()]);

for my $kind (@KINDS) {
    is_deeply(history($kind), { map { ($_ => Digest::SHA->new(256)
        ->addfile("$folder/$kind/$_")->hexdigest) } files($kind) },
        "$kind: the history has each file with its SHA-256");
}

like(run_ok('kcat', '-L', '-b', $brokers, '-t', "fresh$number"),
    qr/topic "fresh$number" with 3 partitions/, 'partitions as configured');
works('again: nothing to do', []);


# --- what comes later ---

spit("$folder/postgres/9000_later.sql", "CREATE TABLE later ();\n"
    . "CREATE TABLE later2 ();\n");
spit("$folder/clickhouse/9000_later.sql", "CREATE TABLE IF NOT EXISTS track.later"
    . " (a UInt8)\nENGINE = Memory\n");
works('a new file', ['postgres: 9000_later.sql applied',
    'clickhouse: 9000_later.sql applied']);
is(in_postgres("SELECT to_regclass('later2')"), 'later2', 'in PostgreSQL');
is(clickhouse_value($clickhouse, 'EXISTS later'), 1, 'in ClickHouse');

for my $kind (@KINDS) {
    my $file = "$folder/$kind/9000_later.sql";
    my $text = slurp($file);

    spit($file, "$text-- changed\n");
    refused("$kind: an applied file that changed",
        qr{\Q$file\E has changed since it was applied: put it back});
    spit($file, $text);
}

works('put back: nothing to do', []);


# --- files that fail ---

spit("$folder/postgres/9001_bad.sql", "CREATE TABLE half ();\nSELECT nonsense;\n");
spit("$folder/postgres/9002_after.sql", "CREATE TABLE after_bad ();\n");
refused('PostgreSQL: a file that fails',
    qr/9001_bad\.sql is not applied: .*"nonsense" does not exist/);
is(in_postgres("SELECT to_regclass('half'), to_regclass('after_bad')"), '|',
    'nothing of it is left, and nothing after it was tried');

spit("$folder/postgres/9001_bad.sql", "CREATE TABLE half ();\n");
works('mended', ['postgres: 9001_bad.sql applied',
    'postgres: 9002_after.sql applied']);

spit("$folder/clickhouse/9001_bad.sql", "CREATE TABLE track.x (a Nonsense)\n");
refused('ClickHouse: a file that fails',
    qr/9001_bad\.sql is not applied: .*Nonsense/);
ok(!exists history('clickhouse')->{'9001_bad.sql'}, 'it is not in the history');

spit("$folder/clickhouse/9001_bad.sql", 'SELECT 1');
works('mended', ['clickhouse: 9001_bad.sql applied']);


# --- killed in the middle ---

spit("$folder/postgres/9003_slow.sql",
    "CREATE TABLE slow (); SELECT pg_sleep(1);\n");
my $pid = background("$dir/killed", $LOADER, '-c', $conf, 'migrate');
wait_for(10, 'the slow file', sub { in_postgres('SELECT count(*) FROM'
    . " pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()")
    });
kill 'KILL', $pid;
works('killed in the middle: applied by the next',
    ['postgres: 9003_slow.sql applied']);


# --- side by side ---

fresh();
my @pids = map { background("$dir/side$_", $LOADER, '-c', $conf, 'migrate') } 1 .. 4;
waitpid $_, 0 for @pids;
my @said = map { split /\n/, slurp("$dir/side$_") } 1 .. 4;
is_deeply([sort grep { !/^waiting for another/ } @said],
    [sort(applied(), topics())], 'four side by side: each file once, by one');


# --- a DBA was there before ---

fresh();
migrate($database);
clickhouse_run(slurp($_)) for map { ("$folder/clickhouse/$_") x 2 } files('clickhouse');
clickhouse_do($clickhouse, 'INSERT INTO events (event_type, kafka_offset)'
    . " VALUES ('kept', 7)");
works('after psql and curl', [applied(), topics()]);
is(clickhouse_value($clickhouse, "SELECT count() FROM events"), 1, 'rows are kept');
is(clickhouse_value($clickhouse, 'SELECT max(kafka_offset) FROM offsets_landed'), 7,
    'views work');


# --- what cannot be done ---

fresh();
$conf = configure('wrong.conf', topics => 'fresh0', directory => "$dir/nowhere");
refused('a wrong directory',
    qr{cannot read \Q$dir\E/nowhere/postgres: .*directory in \[migrate\] right});

spit("$folder/postgres/10_short.sql", 'SELECT 1;');
$conf = configure('name.conf', topics => 'fresh0');
refused('a file with another name', qr{10_short\.sql: a migration is named 0000_});

my $nobody = $stack->free_port();
$conf = configure('pg.conf', topics => 'fresh0',
    postgres => "host=127.0.0.1 port=$nobody");
refused('PostgreSQL away', qr/cannot connect to PostgreSQL: .*refused/);

unlink "$folder/postgres/10_short.sql" or die;
$conf = configure('ch.conf', topics => 'fresh0',
    clickhouse => "http://127.0.0.1:$nobody");
refused('ClickHouse away', qr/ClickHouse: .*127\.0\.0\.1/);

done_testing();
