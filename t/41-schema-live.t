#!/usr/bin/perl

# A schema change reaches every worker without a reload, while traffic runs:
# types, fields, required, enabled, additional_fields, deletion, many changes at
# once; through the death of whichever worker leads.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Oracle;
use Track::Util;

use constant LIMIT => 20;   # seconds from COMMIT to enforced

my $stack = edge_stack();
my $oracle = Track::Oracle->new($stack);
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(),
    known => [qr/exited on signal 9/])->start();
wait_schema($nginx);

my $url = 'http://127.0.0.1:' . $nginx->port . '/track';
my $load = $oracle->start(url => $url, seconds => 120, rate => 200,
    connections => 4);


# Runs SQL and demands the verdict within the limit, of every worker.
sub change {
    my ($name, $sql, $wanted, $type, $fields) = @_;

    $stack->psql($sql);
    my $took = eval { wait_verdict($nginx, $wanted, $type, $fields, LIMIT) };
    ok(defined $took, sprintf '%s (%.3f s)', $name, $took // LIMIT)
        or return diag("$@; now: " . verdict($nginx, $type, $fields));

    # New connections go to any worker: none may know less.
    my %verdict = map { verdict($nginx, $type, $fields) => 1 } 1 .. 16;
    is_deeply([keys %verdict], [$wanted], "$name: in every worker");
}

sub add_field {
    my ($type, $name, $data_type, $required) = @_;

    return "INSERT INTO event_fields (event_type_id, name, data_type, required)"
        . " SELECT id, '$name', '$data_type', $required FROM event_types"
        . " WHERE name = '$type';";
}


# --- changes, one at a time ---

change('a new type', q{INSERT INTO event_types (name) VALUES ('signup');},
    '', 'signup');
change('a new required field', add_field('signup', 'plan', 'string', 'true'),
    'missing_field', 'signup');
is(verdict($nginx, 'signup', { plan => 'x' }), '', 'which satisfies it');
change('required no more', q{UPDATE event_fields SET required = false
    WHERE name = 'plan';}, '', 'signup');
change('an undefined field', 'SELECT 1;', 'unknown_field', 'signup',
    { seats => 3 });
change('now defined', add_field('signup', 'seats', 'int', 'false'), '',
    'signup', { seats => 3 });
is(verdict($nginx, 'signup', { seats => 'x' }), 'wrong_type', 'with its type');
change('the field deleted', q{DELETE FROM event_fields WHERE name = 'seats';},
    'unknown_field', 'signup', { seats => 3 });
change('additional_fields drop', q{UPDATE event_types
    SET additional_fields = 'drop' WHERE name = 'signup';}, '', 'signup',
    { seats => 3 });
change('additional_fields keep', q{UPDATE event_types
    SET additional_fields = 'keep' WHERE name = 'signup';}, '', 'signup',
    { seats => 3 });
change('additional_fields reject', q{UPDATE event_types
    SET additional_fields = 'reject' WHERE name = 'signup';}, 'unknown_field',
    'signup', { seats => 3 });
change('disabled', q{UPDATE event_types SET enabled = false
    WHERE name = 'signup';}, 'event_type_disabled', 'signup');
change('enabled', q{UPDATE event_types SET enabled = true
    WHERE name = 'signup';}, '', 'signup');
change('renamed', q{UPDATE event_types SET name = 'sign_up'
    WHERE name = 'signup';}, '', 'sign_up');
is(verdict($nginx, 'signup'), 'unknown_event_type', 'the old name is gone');
change('the type deleted', q{DELETE FROM event_types WHERE name = 'sign_up';},
    'unknown_event_type', 'sign_up');

# One transaction is seen whole, or not at all.
change('type and field in one transaction', 'BEGIN;'
    . q{INSERT INTO event_types (name) VALUES ('whole');}
    . add_field('whole', 'must', 'string', 'true') . 'COMMIT;',
    'missing_field', 'whole');
change('a transaction rolled back changes nothing', q{BEGIN;
    DELETE FROM event_types WHERE name = 'whole'; ROLLBACK;},
    'missing_field', 'whole');


# --- a record says which version judged it ---

my $id = uuid();
is(Track::HTTP->new($nginx->port)->post('/track',
    event('whole', { must => 'x' }, event_id => $id))->{status}, 204,
    'an event of the new type');
my ($lineage, $number) = $stack->psql('SELECT lineage, number FROM'
    . ' track_schema_version();') =~ /^(\w{8})[^|]*\|(\d+)/;
is(record_of($stack, $id)->{json}{schema_version}, "$lineage-$number",
    'carries the version that PostgreSQL has now');


# --- many changes in a burst, and a big one ---

$stack->psql(join '', map {
    "INSERT INTO event_types (name) VALUES ('burst_$_');" } 1 .. 100);
change('the last of a hundred transactions',
    q{INSERT INTO event_types (name) VALUES ('burst_last');}, '', 'burst_last');
change('2,000 types with 5 fields each, in one transaction', q{BEGIN;
    INSERT INTO event_types (name) SELECT 'big_' || i
    FROM generate_series(1, 2000) i;
    INSERT INTO event_fields (event_type_id, name, data_type, required)
    SELECT t.id, 'big_field_' || k, 'int', true
    FROM event_types t, generate_series(1, 5) k WHERE t.name LIKE 'big\_%';
    COMMIT;}, join(' ', ('missing_field') x 5), 'big_1999');
change('and deleted', q{DELETE FROM event_types WHERE name LIKE 'big\_%';},
    'unknown_event_type', 'big_1999');


# --- a dead notification channel, a dead leader ---

$stack->psql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = 'track_reader';});
change('after its connection was cut',
    q{INSERT INTO event_types (name) VALUES ('after_cut');}, '', 'after_cut');

for my $round (1 .. 3) {
    my $leader = $nginx->status()->{leader};
    ok((grep { $_ == $leader } $nginx->workers()), 'a worker leads');
    kill 'KILL', $leader;
    change("after the leader, worker $leader, was killed",
        "INSERT INTO event_types (name) VALUES ('after_$leader');", '',
        "after_$leader");
}

# Stopped, not dead: its lease runs out, and what it does when it wakes up must
# not undo what the next leader did.
my $sleeper = wait_for(10, 'a leader', sub { $nginx->status()->{leader} });
kill 'STOP', $sleeper;
my $took = eval {
    $stack->psql("INSERT INTO event_types (name) VALUES ('while_asleep');");
    wait_verdict($nginx, '', 'while_asleep', {}, 20);
};
kill 'CONT', $sleeper;
ok(defined $took, 'a stopped leader is replaced') or diag($@);
change('and does no harm when it wakes up',
    "INSERT INTO event_types (name) VALUES ('awake');", '', 'awake');

$nginx->reload();
change('after a reload',
    q{INSERT INTO event_types (name) VALUES ('reloaded');}, '', 'reloaded');


# --- and the traffic meanwhile ---

my $summary = $oracle->finish($load);
is_deeply($summary->{wrong}, [], 'no event was judged wrongly meanwhile');
is_deeply([grep { /^5/ } keys %{ $summary->{answers} }], [],
    'and none was answered 5xx');
cmp_ok($summary->{verdicts}{acked}, '>', 200, 'of many');
$oracle->check('every acknowledged event is in Kafka', log_only => 1);

my @images;
eval { wait_for(20, 'old images to be removed', sub {
    @images = glob $nginx->dir . '/schema/*';
    return @images <= 4;
}) };
cmp_ok(scalar @images, '<=', 4, 'old images are removed')
    or diag("@images");

done_testing();
