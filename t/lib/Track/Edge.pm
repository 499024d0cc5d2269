package Track::Edge;

# The nginx that most tests use: the module on a stack's PostgreSQL and Kafka,
# with locations whose limits are small enough to be reached.  And the questions
# asked of it again and again: is the schema there, was this event accepted,
# what does its record say.

use strict;
use warnings;

use Exporter 'import';
use Test::More ();

use Track::HTTP;
use Track::Kafka;
use Track::Nginx;
use Track::Stack;
use Track::Util;

our @EXPORT = qw(edge_conf edge_stack wait_schema wait_verdict verdict
    event record_of record_soon codes);

my $MAIN = <<'CONF';
    track_postgres "%%POSTGRES%%";
    track_zone track:8m;
    track_schema_file %%DIR%%/schema/schema.json;
    track_kafka_brokers %%KAFKA%%;

CONF

my $SERVER = <<'CONF';
    server {
        listen 127.0.0.1:%%PORT%%;
        listen 127.0.0.1:%%PORT2%% http2;
        client_max_body_size 1m;
        client_body_buffer_size 64k;
        keepalive_requests 100000;

        location = /track {
            track;
        }

        location = /small {
            track;
            track_max_events 3;
            track_max_event_size 512;
            client_max_body_size 4k;
        }

        location = /two-buffers {
            track;
            client_body_buffer_size 1k;
        }

        location = /file {
            track;
            client_body_in_file_only clean;
        }

        # Within an "if" nginx uses the location's handler with the
        # configuration of the "if".
        location = /other-topic {
            track;
            track_kafka_topic tracking_ledger;

            if ($http_x_flag) {
                set $flag 1;
            }
        }

        location = /track/status {
            track_status;
        }
    }
CONF


# The http block's text; $extra stands beside the track_* directives.
sub edge_conf {
    my ($extra) = @_;
    return $MAIN . ($extra || '') . $SERVER;
}


# The services that the module needs, with tables and topics: the loader makes
# them at its start.
sub edge_stack {
    return Track::Stack->new(qw(postgres kafka clickhouse loader));
}


# event('type', { fields }, members...): an event as Perl data.
sub event {
    my ($type, $fields, %member) = @_;
    return { event_type => $type, fields => $fields || {}, %member };
}


# What the edge says of an event that can never be accepted, so that asking
# changes nothing: 'no_schema', or the codes of its rejection.  A connection that
# a dying worker closes says nothing of it.
sub verdict {
    my ($nginx, $type, $fields) = @_;
    my $response = Track::HTTP->new($nginx->port)->post('/track',
        { event_type => $type, fields => $fields || {}, event_id => 'none' });
    return 'no answer' if !$response;
    my $json = $response->{json} || {};

    return $json->{error}{code} if $json->{error};
    return join ' ', grep { $_ ne 'bad_event_id' } codes($response);
}


# Codes of the first rejected event, sorted.
sub codes {
    my ($response) = @_;
    my $rejected = ($response->{json} || {})->{rejected} or return;

    return sort map { $_->{code} } @{ $rejected->[0]{errors} };
}


sub wait_schema {
    my ($nginx, $seconds) = @_;

    wait_for($seconds || 30, 'a schema in the workers', sub {
        verdict($nginx, 'no such type') !~ /^(?:no_schema|no answer)$/ });
}


# Until verdict() is the text wanted; returns the seconds it took.
sub wait_verdict {
    my ($nginx, $wanted, $type, $fields, $seconds) = @_;
    my $begin = now();

    wait_for($seconds || 20, "'$wanted' for $type",
        sub { verdict($nginx, $type, $fields) eq $wanted });

    return now() - $begin;
}


# The only record of an event_id in the topic: { key, value (bytes), json,
# partition, offset }.  Fails the test if there is none, or more than one.
sub record_of {
    my ($stack, $event_id, $topic) = @_;
    my @found = grep { $_->{value} =~ /"event_id":"\Q$event_id\E"/ }
        kafka_records($stack->env('KAFKA_BROKERS'),
                      $topic || 'tracking_events');

    Test::More::is(scalar @found, 1, "one record of $event_id")
        or return { value => '', json => {} };

    return { %{ $found[0] }, json => json_decode($found[0]{value}) };
}


# The same of an event that nobody has said to be in Kafka already: waits for it.
sub record_soon {
    my ($stack, $event_id, $topic) = @_;

    eval { wait_for(30, "a record of $event_id", sub {
        scalar grep { $_->{value} =~ /"event_id":"\Q$event_id\E"/ }
            kafka_records($stack->env('KAFKA_BROKERS'),
                          $topic || 'tracking_events') }) };

    return record_of($stack, $event_id, $topic);
}


1;
