
/*
 * ngx_http_track_module: takes events by HTTP, judges them against a schema
 * that lives in PostgreSQL, and answers when Kafka, or a spool on disk, has
 * them.
 *
 * This file is the table of contents: directives, configuration, module
 * definition.  The rest is in src/:
 *
 *   _worker        what a worker sets up and tears down
 *   _handler       the way of one request
 *   _ctx           what is known of it
 *   _access        who may send: origin, write key
 *   _cors          what pages of other origins are told
 *   _ip            what of the client's address may leave nginx
 *   _media         what kind of body
 *   _body          the body in one piece, _inflate out of gzip
 *   _pixel         an event by GET
 *   _event         judged events become records
 *   _deliver       which way they go until they are safe
 *   _wait          requests parked until then
 *   _response      answers
 *   _kafka         the producer's life, _kafka_report what it says
 *   _rdkafka       all of librdkafka, _property what it is configured with
 *   _spool         what Kafka does not take, on disk; see there for its parts
 *   _ledger        what became of each event, _beat says it
 *   _schema        the image in force, mapped by every worker
 *   _leader        which worker reads PostgreSQL
 *   _follower      the thread that does
 *   _pg            how (all of libpq)
 *   _schema_file   the last good schema on disk
 *   _image         the images beside it
 *   _zone          shared memory, _count what is counted in it
 *   _metric        what all of it is called, for
 *   _status        track_status in JSON, and
 *   _prometheus    for Prometheus
 *   _live          the last verdicts, _listen who reads them
 *   _variable      for logs
 *
 * and in lib/, which knows nothing of nginx: JSON, validation, records.
 */


#include "ngx_http_track.h"


static char *ngx_http_track(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_track_postgres(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_schema_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_topic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_kafka_property(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_track_not_zero(ngx_conf_t *cf, void *post, void *data);

static void *ngx_http_track_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_track_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_track_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_track_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_track_postconfiguration(ngx_conf_t *cf);



static ngx_conf_post_t  ngx_http_track_not_zero_post =
    { ngx_http_track_not_zero };

static ngx_conf_num_bounds_t  ngx_http_track_events_bounds =
    { ngx_conf_check_num_bounds, 1, 10000 };


static ngx_conf_enum_t  ngx_http_track_acks[] = {
    { ngx_string("kafka"), NGX_HTTP_TRACK_ACK_KAFKA },
    { ngx_string("spool"), NGX_HTTP_TRACK_ACK_SPOOL },
    { ngx_string("none"), NGX_HTTP_TRACK_ACK_NONE },
    { ngx_null_string, 0 }
};

static ngx_conf_enum_t  ngx_http_track_keys[] = {
    { ngx_string("off"), NGX_HTTP_TRACK_KEY_OFF },
    { ngx_string("optional"), NGX_HTTP_TRACK_KEY_OPTIONAL },
    { ngx_string("required"), NGX_HTTP_TRACK_KEY_REQUIRED },
    { ngx_null_string, 0 }
};

static ngx_conf_enum_t  ngx_http_track_ips[] = {
    { ngx_string("full"), NGX_HTTP_TRACK_IP_FULL },
    { ngx_string("truncated"), NGX_HTTP_TRACK_IP_TRUNCATED },
    { ngx_string("off"), NGX_HTTP_TRACK_IP_OFF },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_track_commands[] = {

    { ngx_string("track"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_track,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_pixel"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_track_pixel,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_track_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_live"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_track_live,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_postgres"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_track_postgres,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_track_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_schema_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_track_schema_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_kafka_brokers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_track_main_conf_t, brokers),
      NULL },

    { ngx_string("track_spool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_track_spool_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_kafka_property"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_track_kafka_property,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_kafka_topic"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_track_topic,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, topic),
      NULL },

    { ngx_string("track_rejected_topic"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_track_topic,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, rejected),
      NULL },

    { ngx_string("track_ack"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, ack),
      &ngx_http_track_acks },

    { ngx_string("track_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, key),
      &ngx_http_track_keys },

    { ngx_string("track_cors"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_track_cors,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_ip"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, ip),
      &ngx_http_track_ips },

    { ngx_string("track_honor_privacy_signals"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, honor),
      NULL },

    { ngx_string("track_ack_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, ack_timeout),
      &ngx_http_track_not_zero_post },

    { ngx_string("track_max_events"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, max_events),
      &ngx_http_track_events_bounds },

    { ngx_string("track_max_event_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_track_loc_conf_t, max_event_size),
      &ngx_http_track_not_zero_post },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_track_module_ctx = {
    ngx_http_track_variables,              /* preconfiguration */
    ngx_http_track_postconfiguration,      /* postconfiguration */

    ngx_http_track_create_main_conf,       /* create main configuration */
    ngx_http_track_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_track_create_loc_conf,        /* create location configuration */
    ngx_http_track_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_track_module = {
    NGX_MODULE_V1,
    &ngx_http_track_module_ctx,            /* module context */
    ngx_http_track_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_track_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_track_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_str_t  ngx_http_track_default_zone = ngx_string("track");
static ngx_str_t  ngx_http_track_default_topic =
    ngx_string("tracking_events");
static ngx_str_t  ngx_http_track_default_rejected =
    ngx_string("tracking_events_rejected");
static ngx_str_t  ngx_http_track_ledger_name =
    ngx_string("tracking_ledger");


static char *
ngx_http_track(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_loc_conf_t  *tlcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (tlcf->enabled) {
        return "is duplicate";
    }

    tlcf->enabled = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_track_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_track_postgres(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_main_conf_t  *tmcf = conf;

    char        error[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_str_t  *value;

    if (tmcf->postgres.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_track_pg_check((char *) value[1].data, error) == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid connection string of \"track_postgres\": "
                           "%s", error);
        return NGX_CONF_ERROR;
    }

    tmcf->postgres = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_track_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_main_conf_t  *tmcf = conf;

    u_char     *p, *last;
    ssize_t     size;
    ngx_str_t  *value, name, text;

    if (tmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    last = value[1].data + value[1].len;

    p = ngx_strlchr(value[1].data, last, ':');

    if (p == NULL || p == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\", it must be name:size",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = p - value[1].data;
    text.data = p + 1;
    text.len = last - text.data;

    size = ngx_parse_size(&text);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size of zone \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return ngx_http_track_zone_add(cf, tmcf, &name, (size_t) size);
}


static char *
ngx_http_track_schema_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_main_conf_t  *tmcf = conf;

    ngx_str_t  *value;

    if (tmcf->schema_file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[value[1].len - 1] == '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid file name \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    tmcf->schema_file = value[1];

    if (ngx_conf_full_name(cf->cycle, &tmcf->schema_file, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* What Kafka takes as the name of a topic; the rejected one may be off. */

static char *
ngx_http_track_topic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t  *field, *value;

    field = (ngx_str_t *) (p + cmd->offset);

    if (field->data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    *field = value[1];

    if (cmd->offset == offsetof(ngx_http_track_loc_conf_t, rejected)
        && ngx_strcmp(value[1].data, "off") == 0)
    {
        field->len = 0;
        return NGX_CONF_OK;
    }

    if (value[1].len == 0 || value[1].len > 249
        || strspn((char *) value[1].data, "abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789._-")
           != value[1].len
        || ngx_strcmp(value[1].data, ".") == 0
        || ngx_strcmp(value[1].data, "..") == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid topic \"%V\": Kafka takes 1 to 249 "
                           "letters, digits, \".\", \"_\" and \"-\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_track_kafka_property(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_main_conf_t  *tmcf = conf;

    char           error[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_str_t     *value;
    ngx_uint_t     i;
    ngx_keyval_t  *property;

    value = cf->args->elts;
    property = tmcf->properties.elts;

    for (i = 0; i < tmcf->properties.nelts; i++) {
        if (ngx_strcmp(property[i].key.data, value[1].data) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate property \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    property = ngx_array_push(&tmcf->properties);
    if (property == NULL) {
        return NGX_CONF_ERROR;
    }

    property->key = value[1];
    property->value = value[2];

    if (ngx_http_track_kafka_check_property(property, error) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "property \"%V\" %s",
                           &value[1], error);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* of a time or a size */

static char *
ngx_http_track_not_zero(ngx_conf_t *cf, void *post, void *data)
{
    size_t *value = data;

    return *value ? NGX_CONF_OK : "must not be zero";
}


static void *
ngx_http_track_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_track_main_conf_t  *tmcf;

    /*
     * set by ngx_pcalloc():
     *
     *     tmcf->postgres = { 0, NULL };
     *     tmcf->schema_file = { 0, NULL };
     *     tmcf->brokers = { 0, NULL };
     *     tmcf->max_ack_timeout = 0;
     *     tmcf->max_events = 0;
     *     tmcf->enabled = 0;
     *     tmcf->status = 0;
     *     tmcf->live = 0;
     *     tmcf->zone = NULL;
     */

    tmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_track_main_conf_t));
    if (tmcf == NULL) {
        return NULL;
    }

    tmcf->cycle = cf->cycle;

    if (ngx_array_init(&tmcf->properties, cf->pool, 4, sizeof(ngx_keyval_t))
        != NGX_OK
        || ngx_array_init(&tmcf->topics, cf->pool, 2, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&tmcf->timeouts, cf->pool, 2, sizeof(ngx_msec_t))
           != NGX_OK)
    {
        return NULL;
    }

    return tmcf;
}


static char *
ngx_http_track_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_track_main_conf_t  *tmcf = conf;

    if (tmcf->postgres.data && tmcf->schema_file.data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"track_postgres\" needs \"track_schema_file\", where "
                      "the last good schema is kept");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_track_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_track_loc_conf_t  *tlcf;

    /*
     * set by ngx_pcalloc():
     *
     *     tlcf->topic = { 0, NULL };
     *     tlcf->topic_index = 0;
     *     tlcf->rejected = { 0, NULL };
     *     tlcf->rejected_index = 0;
     *     tlcf->enabled = 0;
     *     tlcf->pixel = 0;
     *     tlcf->serves = 0;
     */

    tlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_track_loc_conf_t));
    if (tlcf == NULL) {
        return NULL;
    }

    tlcf->ack = NGX_CONF_UNSET_UINT;
    tlcf->ack_timeout = NGX_CONF_UNSET_MSEC;
    tlcf->max_events = NGX_CONF_UNSET;
    tlcf->max_event_size = NGX_CONF_UNSET_SIZE;
    tlcf->key = NGX_CONF_UNSET_UINT;
    tlcf->cors = NGX_CONF_UNSET_PTR;
    tlcf->ip = NGX_CONF_UNSET_UINT;
    tlcf->honor = NGX_CONF_UNSET;

    return tlcf;
}


static char *
ngx_http_track_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_track_loc_conf_t *prev = parent;
    ngx_http_track_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_track_main_conf_t  *tmcf;

    if (conf->topic.data == NULL) {
        conf->topic = prev->topic.data ? prev->topic
                                       : ngx_http_track_default_topic;
    }

    if (conf->rejected.data == NULL) {
        conf->rejected = prev->rejected.data ? prev->rejected
                                         : ngx_http_track_default_rejected;
    }

    ngx_conf_merge_uint_value(conf->ack, prev->ack, NGX_HTTP_TRACK_ACK_KAFKA);
    ngx_conf_merge_msec_value(conf->ack_timeout, prev->ack_timeout, 2000);
    ngx_conf_merge_value(conf->max_events, prev->max_events, 500);
    ngx_conf_merge_size_value(conf->max_event_size, prev->max_event_size,
                              64 * 1024);
    ngx_conf_merge_uint_value(conf->key, prev->key, NGX_HTTP_TRACK_KEY_OFF);
    ngx_conf_merge_ptr_value(conf->cors, prev->cors, NULL);
    ngx_conf_merge_uint_value(conf->ip, prev->ip, NGX_HTTP_TRACK_IP_FULL);
    ngx_conf_merge_value(conf->honor, prev->honor, 0);

    /* a request keeps its location's handler but takes the configuration of
     * an "if" or "limit_except" within that location, which has no "track" */

    if (!conf->enabled && !prev->enabled) {
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    conf->serves = clcf->noname ? prev->serves : conf->enabled;
    conf->pixel |= clcf->noname && prev->pixel;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_track_module);

    tmcf->enabled = 1;
    tmcf->ack_spool |= (conf->ack == NGX_HTTP_TRACK_ACK_SPOOL);
    tmcf->max_ack_timeout = ngx_max(tmcf->max_ack_timeout, conf->ack_timeout);
    tmcf->max_events = ngx_max(tmcf->max_events, (size_t) conf->max_events);

    if (ngx_http_track_wait_lane(tmcf, conf->ack_timeout, &conf->lane)
        != NGX_OK
        || ngx_http_track_topic_index(tmcf, &conf->topic,
                                      &conf->topic_index)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    conf->rejected_index = NGX_HTTP_TRACK_NOWHERE;

    if (conf->rejected.len
        && ngx_http_track_topic_index(tmcf, &conf->rejected,
                                      &conf->rejected_index)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_track_topic_index(ngx_http_track_main_conf_t *tmcf, ngx_str_t *topic,
    ngx_uint_t *index)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    name = tmcf->topics.elts;

    for (i = 0; i < tmcf->topics.nelts; i++) {
        if (ngx_strcmp(name[i].data, topic->data) == 0) {
            *index = i;
            return NGX_OK;
        }
    }

    name = ngx_array_push(&tmcf->topics);
    if (name == NULL) {
        return NGX_ERROR;
    }

    *name = *topic;
    *index = i;

    return NGX_OK;
}


/* All locations are merged now. */

static ngx_int_t
ngx_http_track_postconfiguration(ngx_conf_t *cf)
{
    char                        *rv, error[NGX_HTTP_TRACK_ERROR_LEN];
    ngx_http_track_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_track_module);

    if (!tmcf->enabled) {
        if (tmcf->status || tmcf->live) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%s\" without any \"track\" has nothing to show",
                          tmcf->status ? "track_status" : "track_live");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (tmcf->brokers.len == 0 || tmcf->postgres.data == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"track\" needs \"%s\" in http",
                      tmcf->brokers.len ? "track_postgres"
                                        : "track_kafka_brokers");
        return NGX_ERROR;
    }

    if (tmcf->ack_spool && tmcf->spool.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"track_ack spool\" needs \"track_spool\" in http");
        return NGX_ERROR;
    }

    if (ngx_http_track_topic_index(tmcf, &ngx_http_track_ledger_name,
                                   &tmcf->ledger_topic)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_track_cors_init();

    if (ngx_http_track_kafka_check(tmcf, error) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s", error);
        return NGX_ERROR;
    }

    if (tmcf->zone == NULL) {
        rv = ngx_http_track_zone_add(cf, tmcf, &ngx_http_track_default_zone,
                                     8 * 1024 * 1024);
        if (rv != NGX_CONF_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
