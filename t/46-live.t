#!/usr/bin/perl

# track_live: verdicts with their events as they come, for holders of an admin
# token; the last thousand for those who come later; resumed after a cut; told
# when too slow; gone within a second of a reload; whoever is killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use Track::Edge;
use Track::HTTP;
use Track::Live;
use Track::Nginx;
use Track::Util;

my $stack = edge_stack();
$stack->define('click', name => 'string!');
my $token = token('console');

my $conf = edge_conf() =~ s[(location = /track/status)][
        location = /live { track_live; }
        location = /private {
            track;
            track_ip off;
            track_honor_privacy_signals on;
        }
        $1]r;
my $nginx = Track::Nginx->new(stack => $stack, http => $conf,
    known => [qr/exited on signal 9/])->start();
wait_schema($nginx);
my $http = Track::HTTP->new($nginx->port);


sub token {
    my ($name) = @_;
    my $token = $stack->psql("SELECT track_create_token('$name',
        ARRAY['live']);");
    chomp $token;
    return $token;
}

sub listener { return Track::Live->new($nginx->port, $token, @_) }

sub good { return event('click', { name => $_[0] }) }

sub name_of { return json_decode($_[0]{json}{event})->{fields}{name} }

# The seconds until a stream ends, and what came before.
sub until_end {
    my ($listener) = @_;
    my $begin = now();
    my @events;

    while (!$listener->ended() && now() - $begin < 30) {
        push @events, $listener->next(0.2) // ();
    }

    return now() - $begin, @events;
}

sub number { return (split /-/, $_[0]{id})[1] }

# Reads all that was judged before this; returns it.
my $marks = 0;
sub catch_up {
    my ($listener, $others) = @_;
    my $mark = 'mark ' . ++$marks;

    $http->post('/track', event($mark));
    my @before = $listener->until_verdict(
        sub { ($_[0]{event_type} // '') eq $mark }, $others);
    pop @before;

    return @before;
}

# Whether a verdict comes whose event has this name.
sub comes {
    my ($listener, $name) = @_;
    return eval { $listener->until_verdict(sub {
        my $event = eval { json_decode($_[0]{event}) };
        ref $event eq 'HASH' && ($event->{fields}{name} // '') eq $name;
    }) };
}


# --- who may listen ---

is(Track::Live->new($nginx->port, undef)->status(), 401, 'without a token');
is(Track::Live->new($nginx->port, undef)->header()->{'www-authenticate'},
    'Bearer', 'one is asked for');
is(Track::Live->new($nginx->port, 'at_' . '0' x 64)->status(), 401,
    'a wrong token');
is(Track::Live->new($nginx->port, 'x' x 1000)->status(), 401, 'a long one');
is(Track::Live->new($nginx->port, undef,
    path => "/live?token=$token&access_token=$token")->status(), 401,
    'a token in the URL is none');
is(Track::Live->new($nginx->port, undef, Authorization => "Basic $token")
    ->status(), 401, 'nor is one of another scheme');
is($http->post('/live', '')->{status}, 405, 'POST: 405');


# --- verdicts ---

my $live = listener();
is($live->status(), 200, 'the right token');
is($live->header()->{'content-type'}, 'text/event-stream', 'media type');
is($live->header()->{'x-accel-buffering'}, 'no', 'proxies do not buffer it');
is($live->header()->{'cache-control'}, 'no-store', 'nor store it');
is($live->next()->{retry}, 1000, 'when to come again');
is($nginx->status()->{gauges}{live_listeners}, 1, 'it is counted');
catch_up($live);

my $id = uuid();
my $begin = now();
$http->post('/track', [{ %{ good('first') }, event_id => $id, user_id => 'u' },
    event('click'), event('nope'), 'x']);
my @seen = map { $live->next() } 1 .. 4;
cmp_ok(now() - $begin, '<', 5, 'verdicts come by themselves');
is_deeply([map { $_->{json}{verdict} } @seen],
    [qw(accepted rejected rejected rejected)], 'in order');
is($seen[0]{json}{event_id}, $id, 'event_id');
is(name_of($seen[0]), 'first', 'the event as it was sent');
is($seen[0]{json}{ip}, '127.0.0.1', 'the address');
like($seen[0]{json}{received_at}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'when');
is_deeply([map { $_->{code} } @{ $seen[1]{json}{errors} }],
    ['missing_field'], 'why it was rejected');
is($seen[2]{json}{event_type}, 'nope', 'its type');
is($seen[3]{json}{event}, '"x"', 'what is no event at all');
is_deeply([map { number($_) - number($seen[0]) } @seen], [0 .. 3],
    'numbers go up by one');

$http->post('/track', '{broken');
my $broken = $live->next();
is($broken->{json}{event}, '{broken', 'a body that is not JSON');
is($broken->{json}{errors}[0]{code}, 'malformed_json', 'and why');

my $odd = qq({"event_type":[\n\n1,\r\n{"a"\n:2}]});
$http->post('/track', $odd);
is($live->next()->{json}{event}, $odd, 'a type with line ends is no type');


# --- privacy ---

$http->post('/private', { %{ good('p') }, user_id => 'secret',
    anonymous_id => 'secret' }, 'Sec-GPC' => 1);
my $private = $live->next();
is(name_of($private), 'p', 'an event with a privacy signal');
unlike($private->{data}, qr/secret|127\.0\.0\.1/,
    'no identifiers, and no address where none is kept');


# --- long events ---

$http->post('/track', good('x' x 3000));
my $long = $live->next()->{json};
ok($long->{truncated}, 'a long event is cut');
cmp_ok($long->{size}, '>', 3000, 'its size is told');
is(length $long->{event}, 2048, 'at 2 KB');

$http->post('/track', good("\\\"" x 1500), 'User-Agent' => "\x01" x 2000);
ok($live->next()->{json}{truncated}, 'the worst escapes fit');
$http->post('/track', event('click', { map { ("$_" . 'y' x 200, 1) } 1 .. 30 }));
my $worst = $live->next()->{json};
cmp_ok(scalar @{ $worst->{errors} }, '>=', 16, 'as do many errors');


# --- the last thousand ---

for my $n (0 .. 5) {
    $http->post('/track', [map { good($n * 200 + $_) } 1 .. 200]);
}
my $last = listener();
my @last = $last->take(1000);
is(scalar(my @more = $last->verdicts(0.3)), 0, 'and no more');
is(scalar @last, 1000, 'who comes later gets the last thousand');
is(name_of($last[-1]), 1200, 'the newest last');
is_deeply([grep { number($last[$_]) != number($last[0]) + $_ } 0 .. 999], [],
    'none is missing');

# --- resume ---

my $resumed = listener('Last-Event-ID' => $last[-11]{id});
is_deeply([map { $_->{id} } $resumed->take(10), $resumed->verdicts(0.3)],
    [map { $_->{id} } @last[-10 .. -1]], 'resumed behind Last-Event-ID');
my $other = listener('Last-Event-ID' => '1-' . number($last[-1]));
is(scalar(my @all = $other->take(1000)), 1000,
    'an id of another life of the zone means nothing');
for my $strange ('', '-', $last[-1]{id} . '0', $last[-1]{id} . 'x',
    '99999999999999999999999')
{
    is(scalar(my @got = listener('Last-Event-ID' => $strange)
        ->take(1000)), 1000, "nor does '$strange'");
}
my @told;
my $late = listener('Last-Event-ID' => $seen[0]{id});
is(scalar(my @got = $late->take(1000, \@told)), 1000, 'resumed too late');
is((grep { ($_->{event} // '') eq 'skipped' } @told)[0]{json}{skipped},
    number($last[0]) - number($seen[0]) - 1, 'it is told what it missed');
$_->close() for $last, $resumed, $other, $late;
wait_for(20, 'listeners that left to be gone',
    sub { $nginx->status()->{gauges}{live_listeners} == 1 });
pass('who has left is not counted');


# --- a slow reader ---

catch_up($live);
my $rss = rss();
$http->post('/track', [map { good('z' x 1500) } 1 .. 200]) for 1 .. 60;

# What a sanitizer keeps back of freed memory is not ours.
cmp_ok(rss() - $rss, '<', $ENV{TRACK_PRELOAD} ? 300_000 : 20_000,
    'a slow reader costs no memory');
@told = ();
@seen = catch_up($live, \@told);
my $missed = 0;
$missed += $_->{json}{skipped} || 0 for @told;
cmp_ok($missed, '>', 1000, 'it has missed some, and is told');
is($missed + @seen, 12_000, 'what it got and what it missed are all');
is_deeply([grep { number($seen[$_]) <= number($seen[$_ - 1]) } 1 .. $#seen],
    [], 'in order');

sub rss {
    my $sum = 0;
    for my $pid ($nginx->workers()) {
        slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m and $sum += $1;
    }
    return $sum;
}


# --- a token that is revoked ---

my $mine = token('mine');
my $revoked;
wait_for(20, 'another token to be known', sub {
    $revoked = Track::Live->new($nginx->port, $mine);
    return $revoked->status() == 200;
});
catch_up($revoked);
$stack->psql("UPDATE admin_tokens SET enabled = false WHERE name = 'mine';");
my ($took) = until_end($revoked);
is($revoked->ended(), 'whole', 'revoked, its stream ends');
cmp_ok($took, '<', 10, 'soon');
is(Track::Live->new($nginx->port, $mine)->status(), 401, 'and it is refused');


# --- a reload ---

# (The quickest of three: others may use the machine.)
my $quickest = 30;
for (1 .. 3) {
    catch_up($live);
    $nginx->signal('HUP');
    ($took, @told) = until_end($live);
    $quickest = $took if $took < $quickest;
    last if $quickest < 1.5;
    $http = Track::HTTP->new($nginx->port);
    $live = listener();
}
cmp_ok($quickest, '<', 1.5, 'a reload ends streams within a second');
is($live->ended(), 'whole', 'in good order');
cmp_ok((grep { $_->{retry} } @told)[-1]{retry}, '<', 1000,
    'and asks to come again soon');
wait_for(30, 'the old workers to leave',
    sub { my @all = $nginx->children(); @all == 2 });
$http = Track::HTTP->new($nginx->port);
$http->post('/track', good('after'));
my $again = listener('Last-Event-ID' => $seen[-1]{id});
ok(comes($again, 'after'), 'resumed by its id');


# --- too many ---

my @many = map { listener() } 1 .. 70;
my %statuses;
$statuses{ $_->status() }++ for @many;
cmp_ok($statuses{503} || 0, '>', 0, 'there are not too many listeners');
cmp_ok($statuses{200}, '>=', 30, 'but many');
is((grep { $_->status() == 503 } @many)[0]->header()->{'retry-after'}, 5,
    'others are told to come later');
$_->close() for @many;
wait_for(20, 'them to be gone',
    sub { $nginx->status()->{gauges}{live_listeners} == 1 });


# --- killed writers ---

my @writers;
for my $n (1 .. 3) {
    push @writers, background('/dev/null', $^X, '-e', <<'PERL',
        use lib shift; use Track::HTTP; use Track::Util;
        my ($port, $until) = (shift, now() + shift);
        my $http = Track::HTTP->new($port);
        while (now() < $until) {
            eval { $http->post('/track', [map {
                { event_type => 'click', fields => { name => "k$_" } } }
                1 .. 20]); 1 } or $http = Track::HTTP->new($port);
        }
PERL
        "$FindBin::Bin/lib", $nginx->port, 130);
}
my $killed = 0;
my @events;
my $end = now() + 120;
while ($killed < 20 && now() < $end) {
    my @workers = $nginx->workers();
    kill 'KILL', $workers[rand @workers] and $killed++ if @workers;
    my $listener = eval { listener(@events
        ? ('Last-Event-ID' => $events[-1]{id}) : ()) } or next;
    for (1 .. 500) {
        last if $listener->status() != 200;
        my $event = $listener->next(0.1) or last;
        push @events, $event if $event->{id};
    }
    $listener->close();
}
kill 'TERM', @writers;
waitpid $_, 0 for @writers;
is($killed, 20, 'twenty workers were killed');
cmp_ok(scalar @events, '>', 100, scalar(@events) . ' verdicts were seen');
is_deeply([grep { number($events[$_]) <= number($events[$_ - 1]) }
    1 .. $#events], [], 'their numbers only go up');
is(scalar(grep { $_->{json}{verdict} ne 'accepted'
    || name_of($_) !~ /^k\d+$/ } grep { $_->{data} =~ /"k/ } @events), 0,
    'and each is whole');

$http = Track::HTTP->new($nginx->port);
wait_for(10, 'an answer', sub { eval { $http->get('/track/status') } });
$http->post('/track', good('last'));
ok(comes(listener(), 'last'), 'the ring goes on');


# --- HTTP/2, and the end ---

my $out = $nginx->dir . '/h2';
my $h2 = background($out, 'curl', '-sSN', '--http2-prior-knowledge', '-H',
    "Authorization: Bearer $token",
    'http://127.0.0.1:' . $nginx->port2 . '/live');
ok(eval { wait_for(20, 'the last one', sub {
    slurp($out) =~ /^id: .*\nevent: verdict\ndata: \{.*"last/m }) },
    'by HTTP/2');
kill 'KILL', $h2;

my @open = map { listener() } 1 .. 5;
cmp_ok($nginx->stop('QUIT'), '<', 20, 'a quit does not wait for listeners');

done_testing();
