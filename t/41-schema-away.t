#!/usr/bin/perl

# PostgreSQL is away: at the first start ever, at a later start, meanwhile; and
# comes back.  nginx takes no network to be tested or started.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $nginx = Track::Nginx->new(stack => $stack, http => edge_conf(),
    known => [qr/exited on signal 9/]);
my $file = $nginx->dir . '/schema/schema.json';
my $good = event('click', { name => 'a' });

sub post { return Track::HTTP->new($nginx->port)->post('/track', @_) }


# --- no schema has ever been loaded ---

$stack->stop('postgres');
my $check = $nginx->check();
is($check->{rc}, 0, 'nginx -t without PostgreSQL') or diag($check->{err});
is_deeply([glob $nginx->dir . '/schema/*'], [], 'nginx -t writes nothing');

my $begin = now();
$nginx->start();
my $r = post($good);
is($r->{status}, 503, 'no schema yet: 503');
is($r->{json}{error}{code}, 'no_schema', 'no_schema');
like($r->{header}{'retry-after'}, qr/^\d+$/, 'Retry-After');
cmp_ok(now() - $begin, '<', 20, 'start and answer did not wait for PostgreSQL');
ok($nginx->status(), 'track_status answers without a schema');

$stack->start('postgres');
wait_schema($nginx, 20);
is(post($good)->{status}, 204, 'PostgreSQL is there: events are taken');
ok(wait_for(20, 'the schema file', sub { -s $file }),
    'the schema file is written');
is((stat $file)[2] & 07777, 0600, 'for its owner alone');
my $json = json_decode(slurp($file));
ok(exists $json->{format}, 'it has a format number');


# --- away while running ---

$stack->stop('postgres');
is(post($good)->{status}, 204, 'PostgreSQL away: goes on');
$nginx->reload();
is(post($good)->{status}, 204, 'also after a reload');
kill 'KILL', $_ for $nginx->workers();
wait_for(10, 'new workers', sub { $nginx->workers() == 2 });
wait_for(10, 'an answer', sub { my $r = eval { post($good) };
    $r && $r->{status} == 204 });
pass('also after all workers were killed');


# --- away at start ---

$nginx->stop();
unlink grep { $_ ne $file } glob $nginx->dir . '/schema/*';
$nginx->start();
is(post($good)->{status}, 204,
    'away at start: the file is enough, from the first request on');
is(verdict($nginx, 'click', {}), 'missing_field', 'and is enforced');

$stack->start('postgres');
$stack->define('later');
wait_verdict($nginx, '', 'later', {}, 15);
pass('PostgreSQL back: catches up');


# --- hung: it accepts connections and says nothing ---

$stack->signal('postgres', 'STOP');
is(post($good)->{status}, 204, 'PostgreSQL hangs: goes on');
my $took = $nginx->stop('QUIT');
cmp_ok($took, '<', 15, sprintf 'quit does not wait for it (%.1f s)', $took);
$begin = now();
$nginx->start();
is(post($good)->{status}, 204, 'start does not wait for it');
$nginx->reload();
cmp_ok(now() - $begin, '<', 30, 'nor does a reload');
is(post($good)->{status}, 204, 'events are taken');
$stack->signal('postgres', 'CONT');
$stack->define('awake');
wait_verdict($nginx, '', 'awake', {}, 20);
pass('PostgreSQL awake: catches up');


# --- a schema file that cannot be used ---

$nginx->stop();
$stack->stop('postgres');
my $text = slurp($file);

for (['cut off', substr $text, 0, length($text) / 2],
     ['empty', ''],
     ['another format', $text =~ s/"format":\s*\d+/"format":999/r])
{
    my ($name, $bytes) = @$_;
    unlink grep { $_ ne $file } glob $nginx->dir . '/schema/*';
    spit($file, $bytes);
    $nginx->start();
    is(post($good)->{status}, 503, "schema file $name: 503, not a crash");
    $nginx->stop();
    cmp_ok($nginx->log_count(qr/\[error\].*schema/), '>=', 1,
        "schema file $name: the log says so");
}

# A damaged image is only a cache: it is made anew from the file.
spit($file, $text);
$nginx->start();
is(post($good)->{status}, 204, 'the good file again');
$nginx->stop();
for my $image (grep { $_ ne $file } glob $nginx->dir . '/schema/*') {
    my $bytes = slurp($image);
    substr $bytes, length($bytes) / 2, 1, "\xaa";
    spit($image, $bytes);
}
$nginx->start();
is(post($good)->{status}, 204, 'damaged images are not used');

$stack->start('postgres');
$stack->define('last');
wait_verdict($nginx, '', 'last', {}, 15);
pass('and the next schema is taken');


# --- a database in which nothing is right ---

$stack->psql('ALTER TABLE event_fields RENAME TO elsewhere;');
$stack->psql(q{UPDATE event_types SET description = 'x';});
wait_for(20, 'the log to name what is missing',
    sub { $nginx->log_count(qr/\[error\].*event_fields/) });
pass('unreadable tables: the log names what is missing');
is(post($good)->{status}, 204, 'and the old schema stays');
$stack->psql('ALTER TABLE elsewhere RENAME TO event_fields;');
$stack->define('mended');
wait_verdict($nginx, '', 'mended', {}, 15);
pass('mended: catches up');

done_testing();
