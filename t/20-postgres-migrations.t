# The migration files themselves: a DBA applies them with psql, on an empty
# database or on tables that exist in their first form; a second time changes
# nothing; roles may read and nothing else; everything has a comment.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib";

use Test::More;
use Track::Psql;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new('postgres');
my $url = database($stack, 'migrations');

# What a dump shows: objects, rights, comments and rows.  (pg_dump writes a
# random word into each dump, against injection.)
sub dump_of {
    return run_ok('pg_dump', '--inserts', $_[0])
        =~ s/^\\(?:un)?restrict .*\n//mgr;
}

my @files = map { s{.*/}{}r } migrations();
ok(!(grep { !/^\d{4}_[a-z_]+\.sql$/ } @files), 'files are NNNN_name.sql');
my %number = map { /^(\d+)/ => 1 } @files;
is(keys %number, @files, 'each with a number of its own');
unlike(join('', map { slurp($_) } migrations()),
    qr/^\s*(?:BEGIN|COMMIT|ROLLBACK)\s*(?:TRANSACTION\s*)?;/mi,
    'none begins or ends a transaction');

migrate($url);
my $db = Track::Psql->new($url);
$db->ask(q{INSERT INTO event_types (name) VALUES ('kept');
    INSERT INTO event_fields (event_type_id, name, data_type)
    SELECT id, 'f', 'string[]' FROM event_types});
my $first = dump_of($url);
migrate($url);
is(dump_of($url), $first, 'applying all files again changes nothing');


# Tables in their first form, with rows.

my $FIRST_FORM = q{
    CREATE TABLE event_types (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        name TEXT NOT NULL UNIQUE, description TEXT,
        created_at TIMESTAMPTZ DEFAULT now());
    CREATE TABLE event_fields (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        event_type_id UUID NOT NULL
            REFERENCES event_types(id) ON DELETE CASCADE,
        name TEXT NOT NULL, data_type TEXT NOT NULL,
        required BOOLEAN DEFAULT false, created_at TIMESTAMPTZ DEFAULT now());
    INSERT INTO event_types (name) VALUES ('old'), ('older');
    INSERT INTO event_fields (event_type_id, name, data_type)
        SELECT id, 'a', 'int' FROM event_types};

sub first_form {
    my ($name, $more) = @_;
    my $where = database($stack, $name);
    my $session = Track::Psql->new($where);

    $session->ask("$FIRST_FORM; $more");
    return ($where, $session);
}

my ($old_url, $old) = first_form('first_form', 'SELECT 1');
my $rows = 'SELECT t.id, t.name, t.created_at, f.id, f.name, f.data_type,'
    . ' f.required FROM event_types t JOIN event_fields f'
    . ' ON f.event_type_id = t.id ORDER BY t.name';
my $before = $old->ask($rows);
migrate($old_url);
is($old->ask($rows), $before, 'rows of the first form are kept');
is($old->ask('SELECT DISTINCT enabled, additional_fields FROM event_types'),
    't|reject', 'with the defaults of what is new');
is($old->ask('SELECT * FROM field_types'), 'a|int', 'their names have types');
like($old->ask(q{UPDATE event_types SET name = ''}), qr/must not be empty/,
    'and the rules hold');

for my $case (
    [two_types => q{UPDATE event_fields SET data_type = 'json' WHERE
        event_type_id = (SELECT id FROM event_types WHERE name = 'old')},
        qr/field "a" of event type "\w+" cannot be/],
    [bad_type => q{UPDATE event_fields SET data_type = 'integer'},
        qr/unknown data_type "integer"/],
) {
    my ($name, $sql, $message) = @$case;
    my ($where, $session) = first_form($name, $sql);

    like(eval { migrate($where); '' } // $@, $message,
        "$name: rows that break a rule stop the migration and are named");
}


# Servers and databases that will not do.

my $latin = database($stack, 'latin',
    q{ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
like(eval { migrate($latin); '' } // $@,
    qr/database "latin" has encoding LATIN1.*\n.*HINT:  Make another one: CREATE DATABASE/,
    'another encoding than UTF-8 is refused, with a hint');


# updated_at.

is($db->ask(q{UPDATE event_types SET description = 'x', updated_at = NULL;
    SELECT updated_at > created_at FROM event_types}), 't',
    'updated_at follows an update');
my $at = $db->ask('SELECT updated_at FROM event_types');
$db->ask(q{UPDATE event_types SET description = 'x'});
is($db->ask('SELECT updated_at FROM event_types'), $at,
    'and one that changes nothing leaves it');


# Rights.

for my $role (qw(track_reader track_loader)) {
    (my $as = $url) =~ s{//\w+@}{//$role@};
    my $session = Track::Psql->new($as);

    is($session->ask('SELECT current_user'), $role, "$role may log in");
    is($session->ask("SELECT count(*) FROM $_"), 1, "$role reads $_")
        for qw(event_types event_fields field_types schema_version);
    like($session->ask('SELECT * FROM track_schema_version()'),
        qr/^[0-9a-f-]{36}\|\d+$/, "$role reads the version");
    is($session->ask('LISTEN track_schema'), '', "$role listens");

    for my $sql ("INSERT INTO event_types (name) VALUES ('x')",
                 'UPDATE event_fields SET required = true',
                 'DELETE FROM field_types', 'TRUNCATE event_types CASCADE',
                 'UPDATE schema_version SET number = 0',
                 'CREATE TABLE mine (x int)') {
        like($session->ask($sql), qr/^ERROR:  42501: /m,
            "$role may not: $sql");
    }
}

# A DBA without rights on the counter and the types: the triggers have them.
$db->ask('CREATE ROLE dba LOGIN; GRANT USAGE ON SCHEMA public TO dba;'
    . 'GRANT ALL ON event_types, event_fields TO dba');
(my $as_dba = $url) =~ s{//\w+@}{//dba@};
is(Track::Psql->new($as_dba)->ask(q{INSERT INTO event_types (name)
    VALUES ('by_dba'); INSERT INTO event_fields (event_type_id, name, data_type)
    SELECT id, 'g', 'bool' FROM event_types WHERE name = 'by_dba'}), '',
    'rights on the two tables are enough to change the schema');
is($db->ask(q{SELECT data_type FROM field_types WHERE name = 'g'}), 'bool',
    'and the type is entered');


# Comments.

my $uncommented = $db->ask(q{
    SELECT c.oid::regclass::text FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
       AND obj_description(c.oid, 'pg_class') IS NULL
    UNION ALL
    SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
       AND a.attnum > 0 AND NOT a.attisdropped
       AND col_description(a.attrelid, a.attnum) IS NULL
    UNION ALL
    SELECT p.oid::regprocedure::text FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace
       AND obj_description(p.oid, 'pg_proc') IS NULL});
is($uncommented, '', 'every table, column and function has a comment');

done_testing();
