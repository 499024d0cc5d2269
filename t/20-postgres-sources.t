# Sources, write keys, admin tokens: what the database refuses and what it tells
# the DBA, that secrets are shown once and kept nowhere, who may read what, and
# that every change is counted and announced.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib";

use Digest::SHA ();
use Test::More;
use Track::Psql;
use Track::Stack;
use Track::Util;

my $stack = Track::Stack->new('postgres');
my $url = database($stack, 'sources');
migrate($url);
my $db = Track::Psql->new($url);

$db->ask(q{INSERT INTO event_types (name) VALUES ('click'), ('buy')});
is($db->ask(q{INSERT INTO sources (name) VALUES ('web'), ('app')}), '',
    'sources need a name only');
is($db->ask(q{SELECT DISTINCT enabled, allowed_origins IS NULL,
    allowed_event_types IS NULL FROM sources}), 't|t|t',
    'they are enabled, and allow all');


sub refused {
    my ($sql, $message, $hint, $name) = @_;
    my $got = $db->ask($sql);
    $name ||= $sql;

    like($got, qr/^ERROR:  (?:23514|P0002): \Q$message\E$/m, "$name: refused");
    like($got, qr/^HINT:  \Q$hint\E$/m, "$name: hint");
}

sub accepted {
    my ($sql, $name) = @_;

    is($db->ask("BEGIN;$sql;ROLLBACK"), '', ($name || $sql) . ': accepted');
}

sub source { return "INSERT INTO sources (name) VALUES ($_[0])" }

sub update { return "UPDATE sources SET $_[0] = $_[1] WHERE name = 'web'" }


# Names.

refused(source(q{''}), 'the name of a source must not be empty',
    q{Give it a name such as 'web'.});
refused(source(q{repeat('x', 129)}), 'the name of a source, "' . 'x' x 40
    . '...", has 129 bytes, 128 are allowed', 'Shorten it.');
refused(source(q{E'a\tb'}),
    'the name of a source, "a\tb", contains a control character',
    'Remove tabs, line ends and other control characters.');
my $nfd = "e\xcc\x81";
refused(source("'$nfd'"), qq{the name of a source, "$nfd", is not in Unicode}
    . ' normalization form NFC', "Write it as normalize('$nfd', NFC).",
    'a name in NFD');
like($db->ask(source(q{'web'})), qr/^ERROR:  23505: .*sources_name_key/m,
    'a source exists once');
accepted(source($_)) for q{'購買'}, q{'Web'}, q{repeat('x', 128)};


# Origins.

sub origins { return update('allowed_origins', $_[0]) }

accepted(origins("'{\"$_\"}'"), "origin $_") for '*', 'null',
    'https://shop.example.com', 'http://localhost:8080', 'HTTPS://Example.COM',
    'https://*.example.com', 'https://*.example.com:444', 'https://example.com.',
    'http://[::1]', 'http://[2001:DB8::1]:8080', 'app+x://frame-1',
    'chrome-extension://abcdefghijklmnop', 'http://10.0.0.1:65535',
    'https://xn--grsse-uta.de', 'http://a_b.example',
    'https://' . join('.', ('a' x 60) x 4);

my $LIST = q{There are: 'https://example.com', 'http://localhost:8080',}
    . q{ 'https://*.example.com', 'null', '*'.};
my $STAR = q{A star stands for whole labels at the front:}
    . q{ 'https://*.example.com'.};

refused(origins("'{\"$$_[0]\"}'"), qq{"$$_[0]" is not an origin}, $$_[1]) for
    ['https://example.com/', q{An origin ends with its host or port:}
        . q{ 'https://example.com'.}],
    ['https://example.com:8080/path?x', q{An origin ends with its host or}
        . q{ port: 'https://example.com:8080'.}],
    ['example.com', q{Begin it with its scheme: 'https://example.com'.}],
    ['https://größe.de',
        'Write the host as browsers send it, in punycode (xn--...).'],
    ['https://a*.example.com', $STAR], ['https://*', $STAR],
    ['https://*.*.com', $STAR], ['https://**', $STAR],
    ['https://*.[::1]', $STAR],
    ['https://', $LIST], ['https://a..b', $LIST], ['https://.a', $LIST],
    ['https://a:65536', $LIST], ['https://a:', $LIST], ['https://a:1:2', $LIST],
    ['https://u@a', $LIST], ['https://a b', $LIST], ['1http://a', $LIST],
    ['http://[::g]', $LIST], ['http://[::1', $LIST], ['http://[1.2.3.4]', $LIST],
    ['http://[::1/128]', q{An origin ends with its host or port:}
        . q{ 'http://[::1'.}];
like($db->ask(origins(qq{'{"https://@{[join '.', ('a' x 60) x 5]}"}'})),
    qr/^ERROR:  23514: "https:\/\/a{60}\.a{11}" is not an origin$/m,
    'a host that is too long: refused, and named in part');
like($db->ask(origins(q{E'{"https://a\\n"}'})), qr/^ERROR:  23514: /m,
    'a line end: refused');

refused(origins(q{'{null}'}), '"NULL" is not an origin',
    q{For the origin "null" of sandboxed frames and files, write it in quotes:}
    . q{ '{"null"}'.});
refused(origins(q{'{""}'}), '"" is not an origin', 'Leave it out.');
refused(origins(q{'{}'}),
    'allowed_origins must be a list of at least one origin',
    'NULL allows every origin that track_cors allows; to allow none, set'
    . ' enabled = false.');
refused(origins(q{'{{*},{*}}'}),
    'allowed_origins must be a list of at least one origin',
    'NULL allows every origin that track_cors allows; to allow none, set'
    . ' enabled = false.');


# Event types: any name that one may have; what is not defined is told.

sub types { return update('allowed_event_types', $_[0]) }

accepted(types(q{'{click,buy}'}));
accepted(types('NULL'));
$db->ask('SET client_min_messages = warning');
like($db->ask('BEGIN;' . types(q{'{click,clikc}'}) . ';ROLLBACK'),
    qr/^WARNING: .*allowed_event_types has a name that is not defined: clikc\nHINT:  It has no effect until event_types has it\.$/m,
    'a name that is not defined: accepted, with a warning');
like($db->ask('BEGIN;' . types(q{'{1,2,3,4,5,6}'}) . ';ROLLBACK'),
    qr/^WARNING: .*names that are not defined: 1, 2, 3, 4, 5, \.\.\.$/m,
    'many names: the first of them are told');
like($db->ask(q{BEGIN; INSERT INTO sources (name, allowed_event_types)
    VALUES ('x', '{later}'); ROLLBACK}), qr/^WARNING: .*: later$/m,
    'at INSERT, too');
refused(types(q{'{}'}),
    'allowed_event_types must be a list of at least one name',
    'NULL allows all event types; to allow none, set enabled = false.');
refused(types(q{'{click,NULL}'}), 'NULL cannot be the name of an event type',
    'Write it as in event_types.name.');
refused(types(q{E'{"a\\tb"}'}),
    '"a\tb" cannot be the name of an event type',
    'Write it as in event_types.name.', 'a tab');


# Write keys.

my $key = $db->ask(q{SELECT track_create_key('web', 'shop front')});
like($key, qr/^wk_[0-9a-f]{64}$/, 'a key: wk_ and 64 hex digits');
is($db->ask(q{SELECT s.name, k.label, k.enabled, encode(k.key_hash, 'hex')
    FROM source_keys k JOIN sources s ON s.id = k.source_id}),
    'web|shop front|t|' . Digest::SHA::sha256_hex($key),
    'its row holds the SHA-256 of all of it');
my %keys = map { $_ => 1 } split /\n/, $db->ask(
    q{SELECT track_create_key('app') FROM generate_series(1, 500)});
is(keys %keys, 500, '500 keys are 500 different ones');
my @bits = map { unpack '%32b*', pack 'H*', substr $_, 3 } keys %keys;
my $ones = 0;
$ones += $_ for @bits;
cmp_ok(abs($ones - 64_000), '<', 1000, "of their 128,000 bits $ones are set");

is($db->ask("SELECT track_revoke_key('$key')"), 'web',
    'revoked by itself: says whose it was');
is($db->ask(q{SELECT count(*) FROM source_keys WHERE label = 'shop front'
    AND NOT enabled}), 1, 'its row stays, not enabled');
is($db->ask("SELECT track_revoke_key('$key')"), 'web', 'again: likewise');
my $id = $db->ask(q{SELECT id FROM source_keys WHERE enabled LIMIT 1});
is($db->ask("SELECT track_revoke_key(upper('$id'))"), 'app',
    'revoked by its id');
is($db->ask("SELECT enabled FROM source_keys WHERE id = '$id'"), 'f',
    'it is');
refused(q{SELECT track_revoke_key('wk_0')}, 'there is no such key',
    'Give the key itself (wk_...) or its id in source_keys.');
refused(q{SELECT track_create_key('wbe')}, 'there is no source "wbe"',
    q{INSERT INTO sources (name) VALUES ('wbe');});

my $got = $db->ask(q{INSERT INTO source_keys (source_id, key_hash)
    SELECT id, 'wk_my-own-secret' FROM sources});
like($got, qr/^ERROR:  23514: key_hash has 16 bytes, a SHA-256 has 32$/m,
    'a key instead of its hash: refused');
like($got, qr/^HINT:  SELECT track_create_key\(\.\.\.\) makes a key and stores its hash; for one that exists, store sha256\('\.\.\.'\)\.$/m,
    'with a hint');
unlike($got, qr/my-own-secret|6d792d6f776e/, 'which does not repeat it');
like($db->ask(q{INSERT INTO source_keys (source_id, key_hash)
    SELECT id, sha256('same') FROM sources}),
    qr/^ERROR:  23505: .*source_keys_key_hash_key/m, 'a key has one source');


# Admin tokens.

my $token = $db->ask(q{SELECT track_create_token('ops', '{live}')});
like($token, qr/^at_[0-9a-f]{64}$/, 'a token: at_ and 64 hex digits');
is($db->ask(q{SELECT name, scopes, enabled, expires_at IS NULL,
    encode(token_hash, 'hex') FROM admin_tokens}),
    'ops|{live}|t|t|' . Digest::SHA::sha256_hex($token), 'its row');
is($db->ask(q{BEGIN; SELECT length(track_create_token('short', '{live}',
    now() + interval '1 day')); ROLLBACK}), 67, 'one that expires');
refused("SELECT track_create_token('x', $$_[0])",
    "$$_[1] is not a list of scopes",
    q{There is one scope: '{live}', to read track_live.}) for
    [q{'{live,admin}'}, '{live,admin}'], [q{'{}'}, '{}'],
    [q{'{NULL}'}, '{NULL}'];
refused(q{SELECT track_create_token('', '{live}')},
    'the name of an admin token must not be empty',
    q{Give it a name such as 'web'.});
refused(q{UPDATE admin_tokens SET token_hash = 'at_x'},
    'token_hash has 4 bytes, a SHA-256 has 32',
    q{SELECT track_create_token(...) makes a token and stores its hash; for}
    . q{ one that exists, store sha256('...').});


# Secrets are in the answer and nowhere else.

$db->ask(q{SET log_statement = 'all'; SET log_min_duration_statement = 0;
    SET log_parameter_max_length = -1; LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_verbose = on});
my @secrets = map { $db->ask($_) } q{SELECT track_create_key('web', 'logged')},
    q{SELECT track_create_token('logged', '{live}')};
my @logs = grep { -f } glob $stack->dir . '/postgres/*log*';
my $log = join '', map { slurp($_) } @logs;
like($log, qr/INSERT INTO source_keys/, 'a server that logs everything');
my $dump = run_ok('pg_dump', '--inserts', $url);
for my $secret (@secrets) {
    (my $hex = $secret) =~ s/^.._//;
    cmp_ok(length $hex, '==', 64, 'a secret');
    unlike($log, qr/$hex/, 'does not log it');
    unlike($dump, qr/$hex/, 'nor is it in a dump');
    like($dump, qr/${\ Digest::SHA::sha256_hex($secret)}/, 'its hash is');
}


# Rights.

sub as {
    my ($role) = @_;
    (my $where = $url) =~ s{//\w+@}{//$role@};
    return Track::Psql->new($where);
}

my $reader = as('track_reader');
like($reader->ask($$_[0]), $$_[1], "track_reader reads: $$_[0]") for
    ['SELECT name, allowed_origins, allowed_event_types FROM sources
        WHERE enabled ORDER BY 1', qr/^app\|\|\nweb\|\|$/],
    ['SELECT count(key_hash) FROM source_keys WHERE enabled', qr/^500$/],
    ['SELECT scopes, expires_at FROM admin_tokens WHERE enabled', qr/^\{live\}\|/];
like($reader->ask($_), qr/^ERROR:  42501: /m, "track_reader may not: $_") for
    'SELECT label FROM source_keys', 'SELECT id FROM source_keys',
    'SELECT name FROM admin_tokens', 'SELECT created_at FROM sources',
    q{SELECT track_create_key('web')}, qq{SELECT track_revoke_key('$secrets[0]')},
    q{SELECT track_create_token('x', '{live}')},
    'UPDATE sources SET enabled = true', 'DELETE FROM source_keys',
    'TRUNCATE sources CASCADE';

my $loader = as('track_loader');
like($loader->ask("SELECT count(*) FROM $_"), qr/^ERROR:  42501: /m,
    "track_loader may not read $_") for qw(sources source_keys admin_tokens);

$db->ask('CREATE ROLE keeper LOGIN; GRANT USAGE ON SCHEMA public TO keeper;'
    . 'GRANT ALL ON sources, source_keys TO keeper');
my $keeper = as('keeper');
like($keeper->ask(q{SELECT track_create_key('web')}), qr/^wk_/,
    'rights on the two tables are enough to make a key');
like($keeper->ask(types(q{'{nope}'})), qr/^WARNING: .*: nope$/m,
    'and to be warned, without rights on event_types');
$db->ask(types('NULL'));


# Every change is counted once a transaction, and announced.

my $listener = Track::Psql->new($url);
$listener->ask('LISTEN track_schema');

sub number { return $db->ask('SELECT number FROM schema_version') }

sub counts {
    my ($sql, $by) = @_;
    my $before = number();

    $listener->ask('SELECT 1');
    $db->ask($sql);
    is(number() - $before, $by, "$sql: counted $by");
    my @told = $listener->ask('SELECT 1') =~ /^Asynchronous notification/mg;
    is(@told, $by, "$sql: announced");
}

counts($_, 1) for source(q{'more'}), update('enabled', 'false'),
    update('enabled', 'true'), origins(q{'{*}'}),
    q{SELECT track_create_key('more')},
    qq{SELECT track_revoke_key('$secrets[0]')},
    q{BEGIN; SELECT track_create_key('more'), track_create_key('web');
        UPDATE event_types SET enabled = true; COMMIT},
    q{DELETE FROM sources WHERE name = 'more'},
    q{SELECT track_create_token('counted', '{live}')},
    q{UPDATE admin_tokens SET enabled = false WHERE name = 'counted'},
    q{DELETE FROM admin_tokens WHERE name = 'counted'},
    'TRUNCATE admin_tokens', 'TRUNCATE source_keys', 'TRUNCATE sources CASCADE';
counts($_, 0) for 'SELECT * FROM sources', source(q{''}),
    q{BEGIN; DELETE FROM sources; ROLLBACK}, q{SELECT track_create_key('none')};

$db->ask(source(q{'touched'}));
is($db->ask(q{UPDATE sources SET enabled = false, updated_at = NULL;
    SELECT updated_at > created_at FROM sources}), 't',
    'updated_at follows an update');


# Two at once: they follow one another; a key made while its source is deleted
# is refused or goes with it.

my @dba = map { Track::Psql->new($url) } 0 .. 1;

$db->ask('TRUNCATE sources CASCADE;' . source(q{'race'}));
$dba[0]->ask(q{BEGIN; SELECT length(track_create_key('race'))});
$dba[1]->begin_ask(q{SELECT length(track_create_key('race'))});
Time::HiRes::sleep(0.2);
ok(!$dba[1]->answered(), 'two keys at once: the second waits');
$dba[0]->ask('COMMIT');
is($dba[1]->end_ask(), 67, 'and is made');

$dba[0]->ask(q{BEGIN; DELETE FROM sources});
$dba[1]->begin_ask(q{SELECT length(track_create_key('race'))});
Time::HiRes::sleep(0.2);
$dba[0]->ask('COMMIT');
like($dba[1]->end_ask(), qr/^ERROR:  (?:P0002|23503): /m,
    'a key of a source that is being deleted: refused');
is($db->ask('SELECT count(*) FROM source_keys'), 0, 'no key is left behind');

$db->ask(source(q{'race'}));
my $raced = $db->ask(q{SELECT track_create_key('race')});
$dba[0]->ask("BEGIN; SELECT track_revoke_key('$raced')");
$dba[1]->begin_ask("SELECT track_revoke_key('$raced')");
Time::HiRes::sleep(0.2);
$dba[0]->ask('COMMIT');
is($dba[1]->end_ask(), 'race', 'revoked twice at once: both are told so');

done_testing();
