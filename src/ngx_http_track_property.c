
/*
 * What a producer is configured with: which properties are ours, which are
 * the administrator's, and which are nobody's, since promises rest on them.
 * Knows librdkafka's names only; _kafka sets them.
 */


#include "ngx_http_track.h"


typedef struct {
    const char                  *name;
    const char                  *value;     /* of a refused one: why */
} ngx_http_track_property_t;


static ngx_int_t ngx_http_track_property_set(
    ngx_http_track_property_t *property, ngx_http_track_property_pt set,
    void *conf, char *error);


/* unless track_kafka_property says something else; a missing topic is to be
 * noticed before it is 30 s old */

static ngx_http_track_property_t  ngx_http_track_property_defaults[] = {
    { "client.id", "nginx-track" },
    { "queue.buffering.max.kbytes", "65536" },
    { "message.timeout.ms", "30000" },
    { "reconnect.backoff.max.ms", "1000" },
    { "socket.keepalive.enable", "true" },
    { "topic.metadata.propagation.max.ms", "3000" },
    { NULL, NULL }
};


static ngx_http_track_property_t  ngx_http_track_property_fixed[] = {
    { "acks", "all" },
    { "delivery.report.only.error", "false" },
    { "log.queue", "true" },
    { "partitioner", "murmur2_random" },
    { NULL, NULL }
};


static ngx_http_track_property_t  ngx_http_track_property_never[] = {
    { "acks", "an answer of 2xx rests on acks=all" },
    { "request.required.acks", "an answer of 2xx rests on acks=all" },
    { "delivery.report.only.error", "requests wait for delivery reports" },
    { "enabled_events", "requests wait for delivery reports" },
    { "partitioner", "partitions are chosen as Java's clients do" },
    { "enable.gapless.guarantee", "it stops the producer for good" },
    { "transactional.id", "nothing is sent outside of a transaction then" },
    { "log.queue", "lines are logged by the event loop" },
    { "plugin.library.paths", "plugins can change what is promised" },
    { "internal.termination.signal", "signals are nginx's" },
    { "bootstrap.servers", "track_kafka_brokers sets it" },
    { "metadata.broker.list", "track_kafka_brokers sets it" },
    { NULL, NULL }
};


ngx_uint_t
ngx_http_track_property_refused(ngx_keyval_t *property, char *error)
{
    ngx_http_track_property_t  *p;

    for (p = ngx_http_track_property_never; p->name; p++) {
        if (ngx_strcmp(property->key.data, p->name) == 0) {
            ngx_http_track_say(error, "cannot be set, since %s", p->value);
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_track_properties(ngx_http_track_main_conf_t *tmcf,
    ngx_http_track_property_pt set, void *conf, char *error)
{
    ngx_uint_t     i;
    ngx_keyval_t  *property;

    if (ngx_http_track_property_set(ngx_http_track_property_defaults, set,
                                    conf, error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    property = tmcf->properties.elts;

    for (i = 0; i < tmcf->properties.nelts; i++) {
        if (set(conf, (char *) property[i].key.data,
                (char *) property[i].value.data, error)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_track_property_set(ngx_http_track_property_fixed, set, conf,
                                    error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return set(conf, "bootstrap.servers", (char *) tmcf->brokers.data, error);
}


static ngx_int_t
ngx_http_track_property_set(ngx_http_track_property_t *property,
    ngx_http_track_property_pt set, void *conf, char *error)
{
    for ( /* void */ ; property->name; property++) {
        if (set(conf, property->name, property->value, error) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
