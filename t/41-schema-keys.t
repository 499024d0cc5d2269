#!/usr/bin/perl

# Write keys through PostgreSQL, schema file and image: how long revoking takes,
# in every worker; that what was revoked stays so; what a start without
# PostgreSQL knows; and that a leader which was stopped does not put an older
# schema file back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Psql;
use Track::Stack;
use Track::Util;

use constant ROUNDS => 30;

my $stack = Track::Stack->new('postgres');
migrate($stack->env('DATABASE_URL'));
my $db = Track::Psql->new($stack->env('DATABASE_URL'));

my $shim = File::Temp::tempdir(CLEANUP => 1) . '/slow_fsync.so';
run_ok('cc', '-shared', '-fPIC', '-O1', '-o', $shim,
    root() . '/t/shim/slow_fsync.c');
$ENV{TRACK_PRELOAD} = join ':', $ENV{TRACK_PRELOAD} || (), $shim;

my $nginx = Track::Nginx->new(stack => $stack, http => <<'CONF');
    track_postgres "%%POSTGRES%%";
    track_zone track:8m;
    track_schema_file %%DIR%%/schema/schema.json;
    track_kafka_brokers 127.0.0.1:9;
    keepalive_requests 1000000;

    server {
        listen 127.0.0.1:%%PORT%%;
        add_header X-Worker $pid always;
        track_rejected_topic off;
        location = /track { track; track_key required; }
        location = /track/status { track_status; }
    }
CONF
my $file = $nginx->dir . '/schema/schema.json';

$db->ask(q{INSERT INTO event_types (name) VALUES ('click'), ('buy');
    INSERT INTO sources (name) VALUES ('web'), ('app')});


# What is said of an event that is never accepted: its id is bad.
sub ask_key {
    my ($http, $key, $type) = @_;
    my $r = $http->post('/track',
        event($type // 'click', {}, event_id => 'none'), 'X-Track-Key' => $key);
    my $error = $r->{json}{error};

    return $error ? $error->{code} : join ' ', codes($r);
}

sub verdict_of { return ask_key(Track::HTTP->new($nginx->port), @_) }

sub create { return $db->ask("SELECT track_create_key('$_[0]')") }

# A connection to each worker.
sub connections {
    my %of;

    for (1 .. 200) {
        my $http = Track::HTTP->new($nginx->port);
        my $r = $http->get('/track/status');
        $of{$r->{header}{'x-worker'}} ||= $http;
        return values %of if keys %of == 2;
    }
    die "no connection reaches one of the workers\n";
}

# Milliseconds from now until all connections say so.
sub until_all {
    my ($wanted, $key, $begin, @http) = @_;
    my $end = $begin + 20;

    for my $http (@http) {
        while (ask_key($http, $key) ne $wanted) {
            die "$wanted is not said within 20 s\n" if now() > $end;
            Time::HiRes::sleep(0.001);
        }
    }

    return 1000 * (now() - $begin);
}


# --- from COMMIT to enforced, in every worker ---

my $web = create('web');
$nginx->start();
wait_for(10, 'the key', sub { verdict_of($web) eq 'bad_event_id' });
pass('the first key is known');

my @http = connections();
my (@made, @revoked);
for my $round (1 .. ROUNDS) {
    my $begin = now();
    my $key = create('web');
    push @made, until_all('bad_event_id', $key, $begin, @http);
    $begin = now();
    $db->ask("SELECT track_revoke_key('$key')");
    push @revoked, until_all('unknown_key', $key, $begin, @http);
}

for (['a new key is known', \@made], ['a revoked one refused', \@revoked]) {
    my ($what, $times) = @$_;
    my ($quick, $median) = (sort { $a <=> $b } @$times)[ROUNDS / 4, ROUNDS / 2];
    cmp_ok($quick, '<', 100, sprintf '%s within %.0f ms, in both workers'
        . ' (median %.0f)', $what, $quick, $median);

    # Whoever only looks every few seconds would be slower on any machine.
    cmp_ok($median, '<', 1000, "$what: by notification");
}

# What was revoked stays so: a hundred questions, each counted.
my $gone = create('web');
until_all('bad_event_id', $gone, now(), @http);
$db->ask("SELECT track_revoke_key('$gone')");
until_all('unknown_key', $gone, now(), @http);
my $before = $nginx->status()->{counters}{errors}{unknown_key} || 0;
my %said = map { ask_key($http[$_ % 2], $gone) => 1 } 1 .. 100;
is_deeply([keys %said], ['unknown_key'], 'asked 100 times: always unknown');
is($nginx->status()->{counters}{errors}{unknown_key} - $before, 100, 'and counted');


# --- other ways to lose a key, and to have it again ---

sub change {
    my ($what, $sql, $wanted, @ask) = @_;

    $db->ask($sql);
    my $ok = eval { wait_for(20, $what, sub { verdict_of(@ask) eq $wanted }) };
    ok($ok, "$what: $wanted") or diag(verdict_of(@ask));
}

my $app = create('app');
change('a key of another source', 'SELECT 1', 'bad_event_id', $app);
change('its source disabled', q{UPDATE sources SET enabled = false
    WHERE name = 'app'}, 'unknown_key', $app);
is(verdict_of($web), 'bad_event_id', 'the other source is not');
change('enabled', q{UPDATE sources SET enabled = true}, 'bad_event_id', $app);
change('the row disabled', q{UPDATE source_keys SET enabled = false
    WHERE source_id = (SELECT id FROM sources WHERE name = 'app')},
    'unknown_key', $app);
change('enabled', q{UPDATE source_keys SET enabled = true
    WHERE source_id = (SELECT id FROM sources WHERE name = 'app')},
    'bad_event_id', $app);
change('its source deleted', q{DELETE FROM sources WHERE name = 'app'},
    'unknown_key', $app);
change('a key of one\'s own', q{INSERT INTO source_keys (source_id, key_hash)
    SELECT id, sha256('my-own') FROM sources WHERE name = 'web'},
    'bad_event_id', 'my-own');
change('a transaction rolled back', 'BEGIN; DELETE FROM sources; ROLLBACK',
    'bad_event_id', 'my-own');


# --- event types ---

change('only some event types', q{UPDATE sources
    SET allowed_event_types = '{click,later}'},
    'bad_event_id event_type_not_allowed', $web, 'buy');
is(verdict_of($web, 'click'), 'bad_event_id', 'those still may');
is(verdict_of($web, 'later'), 'bad_event_id unknown_event_type',
    'one that is not defined is unknown');
change('and allowed as soon as it is defined',
    q{INSERT INTO event_types (name) VALUES ('later')}, 'bad_event_id', $web,
    'later');
change('all event types', q{UPDATE sources SET allowed_event_types = NULL},
    'bad_event_id', $web, 'buy');


# --- every origin that the database takes, the image takes ---

my @origins = ('*', 'null', 'https://a.com', 'http://localhost:8080',
    'HTTPS://A.com:443', 'https://*.a.com', 'https://*.a.com:444',
    'https://a.com.', 'http://[::1]', 'http://[2001:DB8::1]:80', 'app+x://f',
    'http://[::ffff:1.2.3.4]', 'http://a_b-.c', 'http://-', 'http://10.0.0.1:0',
    'http://a:00080', 'http://[::]', 'http://1', 'https://*._',
    'https://' . join('.', ('a' x 60) x 4));
$db->ask(sprintf q{INSERT INTO sources (name, allowed_origins)
    VALUES ('all', '{%s}')}, join ',', map { qq{"$_"} } @origins);
my $all = create('all');
change(@origins . ' origins', 'SELECT 1', 'bad_event_id', $all);
is($nginx->log_count(qr/cannot be put in force/), 0, 'and nothing is refused');


# --- the schema file ---

is((stat $file)[2] & 07777, 0600, 'the schema file is for its owner alone');
wait_for(10, 'the file', sub { slurp($file) =~ /"name":"all"/ });
my $json = json_decode(slurp($file));
is($json->{format}, 2, 'its format');
unlike(slurp($file), qr/\Q$web\E/, 'no key is in it');
require Digest::SHA;
ok((grep { $_->{hash} eq Digest::SHA::sha256_hex($web)
    && $_->{source} eq 'web' } @{ $json->{keys} }), 'but its hash');
ok(!(grep { $_->{hash} eq Digest::SHA::sha256_hex($gone) } @{ $json->{keys} }),
    'that of a revoked one is not');

$stack->stop('postgres');
$nginx->stop();
unlink grep { $_ ne $file } glob $nginx->dir . '/schema/*';
$nginx->start();
is(verdict_of($web), 'bad_event_id', 'a start without PostgreSQL knows keys');
is(verdict_of($gone), 'unknown_key', 'but not those that were revoked');
$nginx->stop();

# As 1/6 wrote it.
unlink glob $nginx->dir . '/schema/*';
spit($file, json_encode({ format => 1, lineage => $json->{lineage},
    version => $json->{version}, event_types => $json->{event_types} }));
$nginx->start();
is(verdict_of($web), 'unknown_key', 'a file of format 1: no keys');
is($nginx->status()->{schema}{event_types}, 3, 'but the event types');
$stack->start('postgres');
$db = Track::Psql->new($stack->env('DATABASE_URL'));
change('PostgreSQL back', 'SELECT 1', 'bad_event_id', $web);
wait_for(10, 'the file', sub { slurp($file) =~ /"format":2/ });
pass('and the file is written in format 2');


# --- stopped between image and schema file ---

my $leader = wait_for(10, 'a leader', sub { $nginx->status()->{leader} });
my $hold = $nginx->dir . '/schema/hold';
spit($hold, '');
change('the leader publishes an image', q{INSERT INTO event_types (name)
    VALUES ('first')}, 'bad_event_id', $web, 'first');
wait_for(20, 'its temporary file', sub {
    glob $nginx->dir . '/schema/schema.json.*.tmp' });
unlike(slurp($file), qr/"first"/, 'and is stopped before the file');
kill 'STOP', $leader;
unlink $hold;
$db->ask(q{INSERT INTO event_types (name) VALUES ('second')});
wait_for(30, 'the next leader to write the file', sub {
    slurp($file) =~ /"first".*"second"/s });
isnt(eval { $nginx->status()->{leader} } // 0, $leader, 'another one leads');
kill 'CONT', $leader;
Time::HiRes::sleep(2);
like(slurp($file), qr/"second"/, 'woken up, it does not put the older one back');
change('and all goes on', q{INSERT INTO event_types (name) VALUES ('third')},
    'bad_event_id', $web, 'third');
wait_for(15, 'the file', sub { slurp($file) =~ /"third"/ });
pass('the file follows');
wait_for(20, 'temporary files to go', sub {
    my @left = glob $nginx->dir . '/schema/*.tmp'; !@left });
pass('no temporary file is left');

done_testing();
