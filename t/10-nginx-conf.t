#!/usr/bin/perl

# Directives of the module, good and bad: what `nginx -t` accepts, what it refuses
# and with which sentence.  Nothing listens on the ports named here, nothing is asked
# of them, and nothing is written.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(time);

my $root = dirname(dirname(abs_path(__FILE__)));
my $module = $ENV{TRACK_MODULE} || "$root/build/ngx_http_track_module.so";
my $nginx = $ENV{TRACK_NGINX} || '/usr/sbin/nginx';
my $dir = tempdir('track-conf-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# Workers' user, where we are root: one that can write to its folder.
my $user = $> == 0 ? 'www-data' : undef;

chmod 0755, $dir;
make_path("$dir/schema", "$dir/closed");
chown((getpwnam($user))[2, 3], "$dir/schema") if $user;
chmod 0700, "$dir/schema", "$dir/closed";

my %http = (
    track_postgres      => '"host=127.0.0.1 port=1 dbname=track"',
    track_schema_file   => "$dir/schema/schema.json",
    track_kafka_brokers => '127.0.0.1:1',
);

# The text of a configuration.  Arguments: http => {directive => value or undef for
# none} over the usual ones, extra => more of http, server => ..., location => of
# location = /track, main => before events.
sub conf {
    my %arg = @_;
    my %directives = (%http, %{$arg{http} || {}});
    my $http = join '', map { defined $directives{$_}
        ? "    $_ $directives{$_};\n" : '' } sort keys %directives;
    my $as = $user ? "user $user;" : '';

    $arg{$_} //= '' for qw(main extra server more);
    $arg{location} //= 'track;';

    return <<"CONF";
load_module $module;
pid $dir/nginx.pid;
error_log $dir/error.log;
$as
$arg{main}
events { }
http {
    access_log off;
$http
    $arg{extra}
    server {
        listen 127.0.0.1:1;
        $arg{server}
        location = /track { $arg{location} }
        $arg{more}
    }
}
CONF
}

# Runs nginx -t on it.  Returns (ok, output).
sub check {
    open my $fh, '>', "$dir/nginx.conf" or die "nginx.conf: $!";
    print $fh conf(@_);
    close $fh or die "nginx.conf: $!";

    my $output = `$nginx -t -p $dir/ -c $dir/nginx.conf -e $dir/error.log 2>&1`;

    return ($? == 0, $output);
}

sub good {
    my ($name, @arg) = @_;
    my ($ok, $output) = check(@arg);
    ok($ok, $name) or diag($output);
}

sub bad {
    my ($name, $sentence, @arg) = @_;
    my ($ok, $output) = check(@arg);
    ok(!$ok, "$name is refused");
    like($output, $sentence, "$name: why");
}

die "$module is missing: make module\n" unless -e $module;


# What is right.

my $start = time;
good('the least configuration');
cmp_ok(time - $start, '<', 10, 'nginx -t waits for nobody');
is_deeply([glob "$dir/schema/*"], [], 'nginx -t writes nothing');

good('a zone of its own', extra => 'track_zone events:1m;');
good('all directives of http, server and location',
    extra => 'track_kafka_topic a; track_ack_timeout 3s; track_max_events 10;'
           . 'track_max_event_size 1k;',
    server => 'track_kafka_topic b; track_ack_timeout 4s; track_max_events 20;'
            . 'track_max_event_size 2k;',
    location => 'track; track_kafka_topic c; track_ack_timeout 500ms;'
              . 'track_max_events 30; track_max_event_size 3k;');
good('status', more => 'location = /status { track_status; }');
good('status json', more => 'location = /status { track_status json; }');
good('status prometheus',
    more => 'location = /status { track_status prometheus; }');
good('two endpoints', more => 'location = /b { track; track_kafka_topic b; }');
good('who may send, and what of them may leave, at every level',
    map { $_ => ($_ eq 'location' ? 'track;' : '')
        . 'track_cors https://www.example.com https://*.example.com null;'
        . 'track_key optional; track_ip truncated;'
        . 'track_honor_privacy_signals on;' } qw(extra server location));
good('a pixel', more => 'location = /pixel { track_pixel; track_cors *; }');
good('a pixel alone', location => 'track_pixel;');
good('variables everywhere', extra => 'limit_req_zone $track_source zone=s:1m'
    . ' rate=1r/s; map $track_result $worse { rejected 1; }'
    . ' log_format t "$track_ip $track_events $track_rejected'
    . ' $track_ack_time $worse";');
good('properties',
    extra => 'track_kafka_property linger.ms 1;'
           . 'track_kafka_property compression.type lz4;'
           . 'track_kafka_property message.timeout.ms 2001;'
           . 'track_kafka_property enable.idempotence true;');
good('a property of the topic', extra => 'track_kafka_property retries 3;');
good('an endless message.timeout.ms',
    extra => 'track_kafka_property message.timeout.ms 0;');
good('a URI for track_postgres',
    http => {track_postgres => 'postgresql://a@127.0.0.1:1/track'});
good('a relative track_schema_file',
    http => {track_schema_file => 'schema/schema.json'});
good('the module unused', location => 'return 204;',
    http => {map { $_ => undef } keys %http});
good('directives of http without an endpoint', location => 'return 204;');


# What is wrong with who may send.

bad('track and track_pixel in one location', qr/cannot share a location/,
    location => 'track; track_pixel;');
bad('a second track_pixel', qr/is duplicate/,
    location => 'track_pixel; track_pixel;');
bad("track_$_->[0] $_->[1]", $_->[2], extra => "track_$_->[0] $_->[1];")
    for ['key', 'on', qr/invalid value/], ['ip', 'half', qr/invalid value/],
        ['honor_privacy_signals', 'yes', qr/it must be "on" or "off"/],
        ['cors', 'https://*', qr/invalid origin/],
        ['cors', 'off; track_cors *', qr/is duplicate/];


# What is missing.

bad('track without brokers', qr/"track" needs "track_kafka_brokers" in http/,
    http => {track_kafka_brokers => undef});
bad('track without PostgreSQL', qr/"track" needs "track_postgres" in http/,
    http => {track_postgres => undef});
bad('track_postgres without a file',
    qr/"track_postgres" needs "track_schema_file"/,
    http => {track_schema_file => undef});
bad('status without track', qr/"track_status" without any "track"/,
    location => 'track_status;');


# Duplicates.

for my $directive (sort keys %http) {
    bad("a second $directive", qr/"$directive" directive is duplicate/,
        extra => "$directive $http{$directive};");
}
bad('a second track_zone', qr/"track_zone" directive is duplicate/,
    extra => 'track_zone a:1m; track_zone b:1m;');
bad('a second track', qr/"track" directive is duplicate/,
    location => 'track; track;');
bad('a second track_kafka_topic', qr/"track_kafka_topic" directive is duplicate/,
    location => 'track; track_kafka_topic a; track_kafka_topic b;');
bad('a second track_ack_timeout', qr/"track_ack_timeout" directive is duplicate/,
    location => 'track; track_ack_timeout 1s; track_ack_timeout 2s;');
bad('a property twice', qr/duplicate property "linger.ms"/,
    extra => 'track_kafka_property linger.ms 1; track_kafka_property linger.ms 2;');


# Values.

bad('a connection string that is none',
    qr/invalid connection string of "track_postgres": missing "="/,
    http => {track_postgres => 'nonsense'});
bad('an unknown parameter of libpq', qr/invalid connection option "colour"/,
    http => {track_postgres => '"colour=red"'});
bad('a zone without a size', qr/invalid zone "track", it must be name:size/,
    extra => 'track_zone track;');
bad('a zone without a name', qr/invalid zone ":1m"/, extra => 'track_zone :1m;');
bad('a zone of a wrong size', qr/invalid size of zone "track:big"/,
    extra => 'track_zone track:big;');
bad('a zone that is too small', qr/track_zone "track" is too small: \d+k is the least/,
    extra => 'track_zone track:32k;');
bad('a topic that Kafka refuses', qr/invalid topic "a b"/,
    location => 'track; track_kafka_topic "a b";');
bad('track_ack spool without a spool', qr/"track_ack spool" needs "track_spool"/,
    location => 'track; track_ack spool;');
good('track_ack spool that no endpoint uses',
    more => 'location = /b { return 204; track_ack spool; }');
bad('no time', qr/"track_ack_timeout" directive must not be zero/,
    location => 'track; track_ack_timeout 0;');
bad('a time that is none', qr/"track_ack_timeout" directive invalid value/,
    location => 'track; track_ack_timeout soon;');
bad('no events', qr/value must be between 1 and 10000/,
    location => 'track; track_max_events 0;');
bad('a number that is none', qr/invalid number/,
    location => 'track; track_max_events many;');
bad('no size', qr/"track_max_event_size" directive must not be zero/,
    location => 'track; track_max_event_size 0;');
bad('a size that is none', qr/"track_max_event_size" directive invalid value/,
    location => 'track; track_max_event_size big;');
bad('a form of status that is none', qr/invalid parameter "xml"/,
    more => 'location = /status { track_status xml; }');
bad('track with an argument', qr/invalid number of arguments in "track"/,
    location => 'track on;');
bad('track outside of a location', qr/"track" directive is not allowed here/,
    server => 'track;');


# Properties of librdkafka.

for my $property ('acks', 'request.required.acks', 'delivery.report.only.error',
    'enabled_events', 'partitioner', 'enable.gapless.guarantee',
    'transactional.id', 'log.queue', 'plugin.library.paths',
    'internal.termination.signal', 'bootstrap.servers', 'metadata.broker.list')
{
    bad("property $property", qr/property "\Q$property\E" cannot be set, since /,
        extra => "track_kafka_property $property 1;");
}
bad('an unknown property',
    qr/property "acsk" is refused by librdkafka \S+: No such configuration property/,
    extra => 'track_kafka_property acsk 1;');
bad('a value that the property does not take',
    qr/property "linger.ms" is refused by librdkafka/,
    extra => 'track_kafka_property linger.ms soon;');
bad('a property that only code can set', qr/property "dr_msg_cb" is refused/,
    extra => 'track_kafka_property dr_msg_cb 1;');
bad('message.timeout.ms that is no longer than track_ack_timeout',
    qr/"message.timeout.ms" .*\(2000\) must exceed every track_ack_timeout \(2000 ms\)/,
    extra => 'track_kafka_property message.timeout.ms 2000;');
bad('its alias',
    qr/"message.timeout.ms" .*\(1999\) must exceed every track_ack_timeout/,
    extra => 'track_kafka_property delivery.timeout.ms 1999;');
bad('track_ack_timeout over the default',
    qr/"message.timeout.ms" .*\(30000\) must exceed every track_ack_timeout \(60000/,
    location => 'track; track_ack_timeout 1m;');
good('track_ack_timeout that no endpoint uses',
    more => 'location = /b { return 204; track_ack_timeout 1m; }');


# The process model, and the folder of the schema.

bad('master_process off', qr/does not work with "master_process off"/,
    main => 'master_process off;');
bad('a folder that is not there',
    qr/the folder ".*\/none" of track_schema_file must exist and be writable/,
    http => {track_schema_file => "$dir/none/schema.json"});
bad('a folder as file', qr/invalid file name/,
    http => {track_schema_file => "$dir/schema/"});

SKIP: {
    skip 'needs root: workers are of another user only then', 5 if !$user;

    bad("a folder that is not the workers'",
        qr/must be writable for user "www-data": ".*\/closed" is not open to it/,
        http => {track_schema_file => "$dir/closed/schema.json"});

    make_path("$dir/closed/inner");
    chmod 0777, "$dir/closed/inner";
    bad("a folder below one that is not the workers'",
        qr/must be writable for user "www-data": ".*\/closed" is not open to it/,
        http => {track_schema_file => "$dir/closed/inner/schema.json"});

    chmod 0711, "$dir/closed";
    good('a folder below one that can be passed',
        http => {track_schema_file => "$dir/closed/inner/schema.json"});
}


# The example: its places are put into our folder, the rest is as it stands.

{
    open my $in, '<', "$root/nginx.conf.example" or die "nginx.conf.example: $!";
    my $text = do { local $/; <$in> };
    close $in;

    $text =~ s{^load_module .*$}{load_module $module;}m;
    $text =~ s{^user .*$}{$user ? "user $user;" : ''}me;
    $text =~ s{/run/nginx\.pid|/var/log/nginx/\w+\.log}{$dir/any}g;
    $text =~ s{/var/lib/nginx/track}{$dir/schema}g;
    $text =~ s{listen 80;}{listen 127.0.0.1:1;};

    open my $out, '>', "$dir/example.conf" or die "example.conf: $!";
    print $out $text;
    close $out or die "example.conf: $!";

    my $output = `$nginx -t -p $dir/ -c $dir/example.conf -e $dir/error.log 2>&1`;
    is($?, 0, 'nginx.conf.example') or diag($output);

    # and what it shows in comments
    $text =~ s{^(\s*)# (track_(?:kafka_property|kafka_topic|ack_timeout|max_event\w+) )}
              {$1$2}gm;
    open $out, '>', "$dir/example.conf" or die "example.conf: $!";
    print $out $text;
    close $out or die "example.conf: $!";

    $output = `$nginx -t -p $dir/ -c $dir/example.conf -e $dir/error.log 2>&1`;
    is($?, 0, 'nginx.conf.example with all that it shows') or diag($output);
}

# The spool.

good('a spool', extra => "track_spool $dir/spool;");
ok(-d "$dir/spool", 'its folder is made, as those of temporary files are');
is_deeply([glob "$dir/spool/*"], [], 'nothing is written into it');
good('a spool with all parameters', main => 'thread_pool disk threads=4;',
    extra => "track_spool $dir/spool/ max_size=1g segment=1m pool=disk;");
good('no spool', extra => 'track_spool off;');
bad('two spools', qr/"track_spool" directive is duplicate/,
    extra => "track_spool off; track_spool $dir/spool;");
bad('parameters of no spool', qr/takes no parameters after "off"/,
    extra => 'track_spool off max_size=1g;');
bad("track_spool $_", qr/invalid parameter "\Q$_\E": there are max_size=/,
    extra => "track_spool $dir/spool $_;")
    for 'max_size=x', 'segment=1k', 'segment=2g', 'pool=', 'size=1g';
bad('a spool of one segment', qr/needs a "max_size" of two segments/,
    extra => "track_spool $dir/spool max_size=64m;");
bad('a pool that is not there', qr/unknown thread pool "none"/,
    extra => "track_spool $dir/spool pool=none;");

done_testing;
