# What the database refuses to store, and what it tells the DBA: message and
# hint of each refusal, whatever statement tries it.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib";

use Test::More;
use Track::Psql;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new('postgres');
my $url = database($stack, 'refusals');
migrate($url);
my $db = Track::Psql->new($url);

my $LIST = 'There are: string, int, float, bool, timestamp, string[], json.';

$db->ask(q{INSERT INTO event_types (name) VALUES ('known'), ('other');
    INSERT INTO event_fields (event_type_id, name, data_type)
        SELECT id, 'amount', 'int' FROM event_types WHERE name = 'known'});


sub refused {
    my ($sql, $message, $hint, $name) = @_;
    my $got = $db->ask($sql);
    $name ||= $sql;

    like($got, qr/^ERROR:  23514: \Q$message\E$/m, "$name: refused");
    like($got, qr/^HINT:  \Q$hint\E$/m, "$name: hint");
}

sub accepted {
    my ($sql, $name) = @_;

    is($db->ask("BEGIN;$sql;ROLLBACK"), '', ($name || $sql) . ': accepted');
}

sub type { return "INSERT INTO event_types (name) VALUES ($_[0])" }

sub field {
    my ($name, $data_type) = @_;

    return 'INSERT INTO event_fields (event_type_id, name, data_type)'
        . " SELECT id, $name, $data_type FROM event_types"
        . " WHERE name = 'other'";
}


# Names of event types.

refused(type(q{''}), 'an event type name must not be empty',
    q{Give it a name such as 'page_view'.});

for my $at ("E'a\\tb'", "E'\\n'", "'a' || chr(31)", 'chr(127)', 'chr(159)') {
    my $got = $db->ask(type($at));
    like($got, qr/^ERROR:  23514: event type name ".*" contains a control/m,
        "control character $at: refused");
    like($got, qr/^HINT:  Remove tabs, line ends and other control/m,
        "control character $at: hint");
}

refused(type(q{repeat('x', 129)}),
    'event type name "' . 'x' x 40 . '..." has 129 bytes, 128 are allowed',
    'Shorten it; put the long form into description.');
refused(type(q{repeat('ü', 65)}),
    'event type name "' . 'ü' x 40 . '..." has 130 bytes, 128 are allowed',
    'Shorten it; put the long form into description.', '65 letters of 2 bytes');
refused(type(q{repeat('x', 1000000)}),
    'event type name "' . 'x' x 40 . '..." has 1000000 bytes, 128 are allowed',
    'Shorten it; put the long form into description.', 'a name of 1 MB');

my $nfd = "e\xcc\x81";
refused(type("'$nfd'"),
    qq{event type name "$nfd" is not in Unicode normalization form NFC},
    "Write it as normalize('$nfd', NFC): the same letters must always be the"
    . ' same bytes.', 'a name in NFD');

refused(q{UPDATE event_types SET name = '' WHERE name = 'other'},
    'an event type name must not be empty',
    q{Give it a name such as 'page_view'.});

accepted(type($_)) for q{repeat('x', 128)}, q{repeat('ü', 64)}, q{'購買'},
    q{'a b.c-d/e'}, q{normalize(U&'e\0301', NFC)}, q{chr(160)},
    q{'''; DROP TABLE event_types; --'};

like($db->ask(type(q{'known'})), qr/^ERROR:  23505: .*event_types_name_key/m,
    'an event type exists once');
like($db->ask(type('NULL')), qr/^ERROR:  23502: /m, 'and has a name');
accepted(type(q{'Known'}), 'names differ by case');


# additional_fields.

refused(q{INSERT INTO event_types (name, additional_fields)
          VALUES ('x', 'ignore')}, 'additional_fields cannot be "ignore"',
    q{What happens to fields that are not defined: 'reject' the event, 'drop'}
    . q{ them, or 'keep' them in the warehouse's fields_extra.});
accepted("UPDATE event_types SET additional_fields = '$_'")
    for qw(reject drop keep);


# Names of fields.

for my $name (qw(__proto__ constructor prototype)) {
    refused(field("'$name'", "'int'"), qq{field name "$name" is reserved},
        'JavaScript gives this name a meaning of its own; use another one.');
}

my $identifier = 'Use ASCII letters, digits and "_" only, and no digit first:'
    . ' it becomes a column of the warehouse.';

refused(field(q{''}, q{'int'}), 'a field name must not be empty',
    q{Give it a name such as 'button_name'.});
refused(field("'$_'", q{'int'}), qq{field name "$_" is not an identifier},
    $identifier) for 'a b', '1st', 'a-b', 'a.b', 'größe', 'a$';
refused(field(q{E'a\n'}, q{'int'}), 'field name "a\n" is not an identifier',
    $identifier);
refused(field(q{repeat('f', 64)}, q{'int'}),
    'field name "' . 'f' x 40 . '..." has 64 bytes, 63 are allowed',
    'It becomes a column of the warehouse; shorten it and put the long form'
    . ' into description.');
refused(q{UPDATE event_fields SET name = 'a b'},
    'field name "a b" is not an identifier', $identifier);

accepted(field("'$_'", q{'int'})) for 'a', '_', '_1', 'A9', 'f' x 63,
    'Constructor', 'proto';

like($db->ask(q{INSERT INTO event_fields (event_type_id, name, data_type)
    SELECT event_type_id, name, data_type FROM event_fields}),
    qr/^ERROR:  23505: .*event_fields_event_type_id_name_key/m,
    'an event type has a field once');
accepted(field(q{'Amount'}, q{'string'}), 'field names differ by case');


# Data types.

accepted(field(q{'f'}, "'$_'"))
    for qw(string int float bool timestamp string[] json);

my %meant = (
    text => 'string', VARCHAR => 'string', uuid => 'string',
    String => 'string', integer => 'int', bigint => 'int', int64 => 'int',
    double => 'float', numeric => 'float', boolean => 'bool',
    datetime => 'timestamp', date => 'timestamp', jsonb => 'json',
    object => 'json', array => 'string[]', ' int' => 'int', 'text[]' => 'string[]',
);

refused(field(q{'f'}, "'$_'"), qq{unknown data_type "$_"},
    "Did you mean '$meant{$_}'? $LIST") for sort keys %meant;
refused(field(q{'f'}, "'$_'"), qq{unknown data_type "$_"}, $LIST)
    for '', 'currency', 'point';

like($db->ask(field(q{'f'}, 'NULL')), qr/^ERROR:  23502: /m,
    'a field has a data type');


# One name, one type.

sub two_types {
    my ($sql, $type, $wanted, $name) = @_;
    my $got = $db->ask($sql);

    like($got, qr/^ERROR:  23514: field "amount" of event type "$type" cannot be $wanted: "amount" is int$/m,
        "$name: refused");
    like($got, qr/^DETAIL:  A field name has one data type across all event types, for ever: it is one column of the warehouse\.$/m,
        "$name: detail");
    like($got, qr/^HINT:  Use data_type 'int', or give the field another name\.$/m,
        "$name: hint");
}

two_types(field(q{'amount'}, q{'float'}), 'other', 'float',
    'another type elsewhere');
two_types(q{UPDATE event_fields SET data_type = 'string'}, 'known', 'string',
    'another type of an existing field');
accepted(field(q{'amount'}, q{'int'}), 'the same type elsewhere');

$db->ask(q{DELETE FROM event_fields WHERE name = 'amount'});
two_types(field(q{'amount'}, q{'json'}), 'other', 'json',
    'another type after the field was deleted');
$db->ask(q{TRUNCATE event_types CASCADE;
    INSERT INTO event_types (name) VALUES ('other')});
two_types(field(q{'amount'}, q{'json'}), 'other', 'json',
    'another type after everything was deleted');

my $got = $db->ask(q{INSERT INTO event_types (name) VALUES ('third');
    INSERT INTO event_fields (event_type_id, name, data_type)
    SELECT id, 'both', CASE name WHEN 'third' THEN 'int' ELSE 'bool' END
      FROM event_types});
like($got, qr/^ERROR:  23514: field "both" of event type "\w+" cannot be/m,
    'two types in one statement');

$got = $db->ask(q{COPY event_fields (event_type_id, name, data_type) FROM
    PROGRAM 'echo "00000000-0000-0000-0000-000000000000,amount,strin"' CSV});
like($got, qr/^ERROR:  23514: unknown data_type "strin"$/m, 'COPY, too');

is($db->ask(q{SELECT name, data_type FROM field_types ORDER BY 1}),
    "amount|int", 'field_types holds what was accepted, nothing else');

done_testing();
