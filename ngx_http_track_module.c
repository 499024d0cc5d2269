
/*
 * ngx_http_track_module: takes events by HTTP, judges them against a schema
 * that lives in PostgreSQL, and answers when Kafka has them.
 *
 * This file is the table of contents: directives, configuration, module
 * definition, and what a worker sets up and tears down.  The rest is in src/:
 *
 *   _handler       the way of one request
 *   _body          its body in one piece
 *   _event         accepted events become records
 *   _wait          requests parked for delivery reports
 *   _kafka         the producer (all of librdkafka)
 *   _property      what it is configured with
 *   _response      answers
 *   _schema        the image in force, mapped by every worker
 *   _leader        which worker reads PostgreSQL
 *   _follower      the thread that does
 *   _pg            how (all of libpq)
 *   _schema_file   the last good schema on disk
 *   _image         the images beside it
 *   _zone          shared memory
 *   _status        track_status
 *
 * and in lib/, which knows nothing of nginx: JSON, validation, records.
 */


#include "ngx_http_track.h"


static char *ngx_http_track(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_track_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_postgres(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_schema_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_kafka_topic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_track_kafka_property(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_track_not_zero(ngx_conf_t *cf, void *post, void *data);

static void *ngx_http_track_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_track_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_track_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_track_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_track_topic_index(ngx_http_track_main_conf_t *tmcf,
    ngx_str_t *topic, ngx_uint_t *index);
static ngx_int_t ngx_http_track_postconfiguration(ngx_conf_t *cf);

static ngx_int_t ngx_http_track_init_process(ngx_cycle_t *cycle);
static void ngx_http_track_exit_process(ngx_cycle_t *cycle);
static void ngx_http_track_tick_handler(ngx_event_t *ev);


static ngx_conf_post_t  ngx_http_track_not_zero_post =
    { ngx_http_track_not_zero };

static ngx_conf_num_bounds_t  ngx_http_track_events_bounds =
    { ngx_conf_check_num_bounds, 1, 100000 };


static ngx_command_t  ngx_http_track_commands[] = {

    { ngx_string("track"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_track,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_track_status,
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

    { ngx_string("track_kafka_property"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_track_kafka_property,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("track_kafka_topic"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_track_kafka_topic,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
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
    NULL,                                  /* preconfiguration */
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


ngx_http_track_worker_t  *ngx_http_track_worker;

static ngx_str_t  ngx_http_track_default_zone = ngx_string("track");
static ngx_str_t  ngx_http_track_default_topic =
    ngx_string("tracking_events");

/* what timers without a connection show as theirs in the debug log */
static ngx_connection_t  ngx_http_track_dumb;


static ngx_int_t
ngx_http_track_init_process(ngx_cycle_t *cycle)
{
    ngx_http_track_worker_t     *wk;
    ngx_http_track_main_conf_t  *tmcf;

    /* cache manager and loader come here too */

    if (ngx_process != NGX_PROCESS_WORKER) {
        return NGX_OK;
    }

    tmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_track_module);

    if (tmcf == NULL || !tmcf->enabled) {
        return NGX_OK;
    }

    wk = ngx_pcalloc(cycle->pool, sizeof(ngx_http_track_worker_t));
    if (wk == NULL) {
        return NGX_ERROR;
    }

    wk->messages = ngx_palloc(cycle->pool, tmcf->max_events
                                          * sizeof(ngx_http_track_message_t));
    if (wk->messages == NULL) {
        return NGX_ERROR;
    }

    wk->conf = tmcf;
    wk->log = cycle->log;
    wk->shpool = (ngx_slab_pool_t *) tmcf->zone->shm.addr;
    wk->sh = wk->shpool->data;

    ngx_queue_init(&wk->settled);
    trk_request_init(&wk->request);
    trk_buf_init(&wk->answer, NGX_MAX_INT32_VALUE);
    trk_buf_init(&wk->records, NGX_MAX_INT32_VALUE);

    if (ngx_http_track_event_edge(wk) != NGX_OK
        || ngx_http_track_slot_take(wk) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_track_worker = wk;

    ngx_http_track_schema_init(wk);

    if (ngx_http_track_kafka_init(wk) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_track_dumb.fd = (ngx_socket_t) -1;

    wk->tick.handler = ngx_http_track_tick_handler;
    wk->tick.data = &ngx_http_track_dumb;
    wk->tick.log = wk->log;
    wk->tick.cancelable = 1;

    ngx_http_track_tick_handler(&wk->tick);

    return NGX_OK;
}


/* What a killed worker leaves undone here, others do: see _leader, _zone. */

static void
ngx_http_track_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    if (wk == NULL) {
        return;
    }

    ngx_http_track_leader_resign(wk, 100);
    ngx_http_track_kafka_exit(wk);
    ngx_http_track_schema_exit(wk);
    ngx_http_track_slot_leave(wk);

    trk_request_free(&wk->request);
    trk_buf_free(&wk->answer);
    trk_buf_free(&wk->records);
    ngx_http_track_worker = NULL;
}


static void
ngx_http_track_tick_handler(ngx_event_t *ev)
{
    ngx_http_track_worker_t  *wk;

    wk = ngx_http_track_worker;

    ngx_http_track_leader_tick(wk);

    /* idle workers follow the schema too, and let go of the old image */

    (void) ngx_http_track_schema(wk);

    if (!ngx_exiting) {
        ngx_add_timer(ev, NGX_HTTP_TRACK_TICK);
    }
}


ngx_connection_t *
ngx_http_track_watch(int fd, ngx_event_handler_pt handler, void *data,
    ngx_log_t *log)
{
    ngx_uint_t         flags;
    ngx_connection_t  *c;

    c = ngx_get_connection(fd, log);

    if (c == NULL) {
        (void) close(fd);
        return NULL;
    }

    c->data = data;
    c->log = log;
    c->read->handler = handler;
    c->read->log = log;
    c->write->log = log;

    flags = (ngx_event_flags & NGX_USE_CLEAR_EVENT) ? NGX_CLEAR_EVENT
                                                    : NGX_LEVEL_EVENT;

    if (ngx_add_event(c->read, NGX_READ_EVENT, flags) != NGX_OK) {
        ngx_close_connection(c);
        return NULL;
    }

    return c;
}


ngx_uint_t
ngx_http_track_unmute(ngx_http_track_mute_t *mute, ngx_uint_t *muted)
{
    if (mute->last == ngx_time()) {
        mute->muted++;
        return 0;
    }

    *muted = mute->muted;

    mute->last = ngx_time();
    mute->muted = 0;

    return 1;
}


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
ngx_http_track_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                   *value;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_track_main_conf_t  *tmcf;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "json") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", it must be \"json\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_track_module);
    tmcf->status = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_track_status_handler;

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


/* What Kafka takes as the name of a topic. */

static char *
ngx_http_track_kafka_topic(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_track_loc_conf_t  *tlcf = conf;

    ngx_str_t  *value;

    if (tlcf->topic.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

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

    tlcf->topic = value[1];

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
     *     tlcf->enabled = 0;
     */

    tlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_track_loc_conf_t));
    if (tlcf == NULL) {
        return NULL;
    }

    tlcf->ack_timeout = NGX_CONF_UNSET_MSEC;
    tlcf->max_events = NGX_CONF_UNSET;
    tlcf->max_event_size = NGX_CONF_UNSET_SIZE;

    return tlcf;
}


static char *
ngx_http_track_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_track_loc_conf_t *prev = parent;
    ngx_http_track_loc_conf_t *conf = child;

    ngx_http_track_main_conf_t  *tmcf;

    if (conf->topic.data == NULL) {
        conf->topic = prev->topic.data ? prev->topic
                                       : ngx_http_track_default_topic;
    }

    ngx_conf_merge_msec_value(conf->ack_timeout, prev->ack_timeout, 2000);
    ngx_conf_merge_value(conf->max_events, prev->max_events, 500);
    ngx_conf_merge_size_value(conf->max_event_size, prev->max_event_size,
                              64 * 1024);

    /* a request keeps its location's handler but takes the configuration of
     * an "if" or "limit_except" within that location, which has no "track" */

    if (!conf->enabled && !prev->enabled) {
        return NGX_CONF_OK;
    }

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_track_module);

    tmcf->enabled = 1;
    tmcf->max_ack_timeout = ngx_max(tmcf->max_ack_timeout, conf->ack_timeout);
    tmcf->max_events = ngx_max(tmcf->max_events, (size_t) conf->max_events);

    if (ngx_http_track_topic_index(tmcf, &conf->topic, &conf->topic_index)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
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
        if (tmcf->status) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"track_status\" without any \"track\" has "
                          "nothing to show");
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
