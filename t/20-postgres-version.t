# The version of the schema: counted once a transaction, in the order of commits,
# announced once; and a lineage that a restore does not keep.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib";

use Test::More;
use Track::Psql;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new('postgres');
my $url = database($stack, 'versions');
migrate($url);
my $db = Track::Psql->new($url);
my $listener = Track::Psql->new($url);

$listener->ask('LISTEN track_schema');


sub version { return split /\|/, $db->ask('SELECT * FROM track_schema_version()') }

sub number { return (version())[1] }

# What the listener has been told since the last call: payloads.
sub notifications {
    my $text = $listener->ask('SELECT 1');

    return [$text =~ /^Asynchronous notification "track_schema" (.*?)received/mg];
}

sub counts {
    my ($sql, $by, $name) = @_;
    my $before = number();

    notifications();
    $db->ask($sql);
    is(number() - $before, $by, "$name: counted $by");
    is_deeply(notifications(), [('') x $by], "$name: announced, no payload");
}


is(number(), 1, 'the first version is 1');

counts(q{INSERT INTO event_types (name) VALUES ('a')}, 1, 'an INSERT');
counts(q{BEGIN; INSERT INTO event_types (name) VALUES ('b'), ('c');
    INSERT INTO event_fields (event_type_id, name, data_type)
        SELECT id, 'f', 'int' FROM event_types;
    UPDATE event_fields SET required = true;
    SAVEPOINT s; DELETE FROM event_fields; ROLLBACK TO s;
    UPDATE event_types SET enabled = false; COMMIT}, 1, 'a long transaction');
counts(q{BEGIN; SAVEPOINT s; INSERT INTO event_types (name) VALUES ('d');
    ROLLBACK TO s; COMMIT}, 0, 'one rolled back to a savepoint');
counts(q{BEGIN; SAVEPOINT s; INSERT INTO event_types (name) VALUES ('d');
    ROLLBACK TO s; INSERT INTO event_types (name) VALUES ('e'); COMMIT}, 1,
    'one that tried twice');
counts(q{BEGIN; DELETE FROM event_types; ROLLBACK}, 0, 'one rolled back');
counts(q{INSERT INTO event_types (name) VALUES ('')}, 0, 'a refused INSERT');
counts(q{UPDATE event_fields SET description = 'x'}, 1, 'an UPDATE');
counts(q{DELETE FROM event_types WHERE name = 'a'}, 1, 'a DELETE that cascades');
counts('TRUNCATE event_fields', 1, 'TRUNCATE of the fields');
counts('TRUNCATE event_types CASCADE', 1, 'TRUNCATE of the types');
counts('SELECT * FROM event_types', 0, 'a SELECT');


# The order of numbers is the order of commits: the second writer waits.

my @writer = map { Track::Psql->new($url) } 0 .. 1;
my $before = number();

$writer[0]->ask(q{BEGIN; INSERT INTO event_types (name) VALUES ('first')});
$writer[1]->begin_ask(q{BEGIN; INSERT INTO event_types (name) VALUES ('second')});
Time::HiRes::sleep(0.3);
ok(!$writer[1]->answered(), 'a second writer waits for the first');
is(number(), $before, 'readers do not, and see the old version');
$writer[0]->ask('COMMIT');
is($writer[1]->end_ask(), '', 'and goes on after its COMMIT');
is(number(), $before + 1, 'the first counted');
$writer[1]->ask('COMMIT');
is(number(), $before + 2, 'then the second');


# A reader's transaction sees the version and the contents that belong together.

my $reader = Track::Psql->new($url);
my $seen = $reader->ask('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;'
    . 'SELECT number FROM track_schema_version()');
$db->ask(q{INSERT INTO event_types (name) VALUES ('later')});
is($reader->ask('SELECT number FROM track_schema_version()'), $seen,
    'REPEATABLE READ keeps the version');
is($reader->ask(q{SELECT count(*) FROM event_types WHERE name = 'later'}), 0,
    'and what belongs to it');
$reader->ask('COMMIT');
is($reader->ask(q{SELECT number FROM track_schema_version()}), $seen + 1,
    'and the next transaction sees the new one');


# Lineage.

my %lineage = ('the original' => (version())[0]);

sub lineage_of {
    my ($where, $name) = @_;
    my $got = run_ok('psql', '-X', '-A', '-t', '-d', $where, '-c',
        'SELECT lineage FROM track_schema_version()');

    chomp $got;
    my ($same) = grep { $lineage{$_} eq $got } keys %lineage;
    is($same, undef, "$name: a lineage of its own");
    $lineage{$name} = $got;
}

like($lineage{'the original'}, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    'lineage is a UUID');
$db->ask(q{INSERT INTO event_types (name) VALUES ('more')});
is((version())[0], $lineage{'the original'}, 'changes of the schema keep it');

$stack->stop('postgres');
$stack->start('postgres');
($db, $reader, @writer) = Track::Psql->new($url);
is((version())[0], $lineage{'the original'}, 'a restart keeps it');

my $dump = "$url.dump" =~ s{.*/}{/tmp/$$-}r;
at_end(sub { unlink $dump });
run_ok('pg_dump', '-Fc', '-f', $dump, $url);

my $other = database($stack, 'restored');
run_ok('pg_restore', '-d', $other, $dump);
lineage_of($other, 'pg_restore into another database');
is(run_ok('psql', '-XAtd', $other, '-c', 'SELECT number FROM schema_version'),
    number() . "\n", 'which has the old number');
my $restored = Track::Psql->new($other);
like($restored->ask(type_insert('')), qr/must not be empty/,
    'and the rules');
$restored->ask(type_insert('new'));
is($restored->ask('SELECT number FROM schema_version'), number() + 1,
    'and counts on');
$restored->close();

run_ok('pg_restore', '--clean', '-d', $url, $dump);
lineage_of($url, 'pg_restore --clean into the same database');
lineage_of(database($stack, 'copied', 'TEMPLATE restored'),
    'a database made from a template');

sub type_insert { return "INSERT INTO event_types (name) VALUES ('$_[0]')" }

done_testing();
