/*
 * track-spool: what an operator does with a spool at night.  Looks at spools
 * that nginx owns without disturbing it; drain takes only those that nobody
 * owns.
 */

#include "spool.h"
#include "trk_time.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>


typedef struct {
    const char  *name;
    int        (*run)(const char *edge, void *data);   /* for each spool */
    int        (*run_all)(const spool_options_t *options);
} command_t;

/* a spool that is looked at */
typedef struct {
    const spool_options_t       *options;
    ngx_http_track_spool_dir_t   dir;
    int                          owned;
    uint32_t                    *numbers;
    size_t                       nnumbers;
    off_t                        aside;
    int                          worst;     /* exit code so far */
} look_t;


static int list_one(const char *edge, void *data);
static int verify_one(const char *edge, void *data);
static int cat_one(const char *edge, void *data);


static const command_t  commands[] = {
    { "list", list_one, NULL },
    { "verify", verify_one, NULL },
    { "cat", cat_one, NULL },
    { "drain", NULL, spool_drain },
    { NULL, NULL, NULL }
};

static const char  usage[] =
    "usage: track-spool COMMAND [OPTION...] PATH\n"
    "\n"
    "PATH is that of track_spool, or one spool of it (PATH/EDGE).\n"
    "\n"
    "  list      each spool: its owner, and what waits in it for Kafka\n"
    "  verify    reads every record; damage is named\n"
    "  cat       what waits, one record's value a line\n"
    "              --aside  what was set aside instead: records that Kafka\n"
    "                       refuses for good, and damaged bytes\n"
    "              --all    also records that Kafka has\n"
    "  drain     sends what waits in spools that no nginx owns to Kafka, and\n"
    "            removes what is empty\n"
    "              -b, --brokers LIST\n"
    "              -X NAME=VALUE  a property of librdkafka, any number\n"
    "\n"
    "  --json    one JSON object a line (list, verify, cat)\n"
    "  -h, --help\n"
    "\n"
    "Exit: 0 all is well; 1 damage, or something could not be drained;\n"
    "2 wrong use, or PATH cannot be read.\n";


void
spool_complain(const char *edge, const char *sentence)
{
    fprintf(stderr, "track-spool: %s%s%s\n", edge, edge[0] ? ": " : "",
            sentence);
}


static int
misuse(void)
{
    fputs(usage, stderr);

    return SPOOL_MISUSE;
}


static void
print_text(const trk_buf_t *text)
{
    if (text->failed) {
        spool_complain("", "no memory");
        return;
    }

    (void) fwrite(text->p, 1, text->n, stdout);
}


/* Times are printed as text; 0: "-". */
static const char *
time_text(int64_t ms, char *dst)
{
    if (ms <= 0 || ms > TRK_TIME_MAX) {
        return "-";
    }

    trk_time_format(ms, dst);
    dst[TRK_TIME_LEN] = '\0';

    return dst;
}


/* 0: open; otherwise there is nothing to look at. */
static int
look_open(look_t *look, const char *edge)
{
    char  error[NGX_HTTP_TRACK_SPOOL_ERROR];

    look->numbers = NULL;
    memcpy(look->dir.edge, edge, sizeof(look->dir.edge));

    look->owned = ngx_http_track_spool_io_look(look->options->path,
                                               &look->dir, error);
    if (look->owned == -1
        || ngx_http_track_spool_io_list(&look->dir, &look->numbers,
                                        &look->nnumbers, &look->aside, error)
           == -1)
    {
        spool_complain(edge, error);
        ngx_http_track_spool_io_close(&look->dir);
        look->worst = SPOOL_BAD;
        return -1;
    }

    return 0;
}


static void
look_close(look_t *look)
{
    free(look->numbers);
    ngx_http_track_spool_io_close(&look->dir);
}


/* Goes through a segment.  One that was drained and unlinked meanwhile has
 * nothing in it. */
static int
look_load(look_t *look, uint32_t number,
    ngx_http_track_spool_loaded_t *loaded)
{
    char       error[NGX_HTTP_TRACK_SPOOL_ERROR];
    off_t      aside;
    size_t     i, n;
    uint32_t  *numbers;

    if (ngx_http_track_spool_io_load(&look->dir, number, loaded, NULL, error)
        == 0)
    {
        return 0;
    }

    if (look->owned
        && ngx_http_track_spool_io_list(&look->dir, &numbers, &n, &aside,
                                        error)
           == 0)
    {
        for (i = 0; i < n && numbers[i] != number; i++) {
            /* void */
        }

        free(numbers);

        if (i == n) {
            memset(loaded, 0, sizeof(*loaded));
            return 0;
        }
    }

    spool_complain(look->dir.edge, error);
    look->worst = SPOOL_BAD;

    return -1;
}


static void
list_print(const look_t *look, const ngx_http_track_spool_loaded_t *sum,
    const char *cluster)
{
    char       oldest[TRK_TIME_LEN + 1];
    trk_buf_t  text;

    (void) time_text(sum->oldest, oldest);

    if (!look->options->json) {
        printf("%s  %-6s %4zu segments %9u records wait %12" PRIu64
               " bytes  oldest %s%s%s%s\n", look->dir.edge,
               look->owned ? "owned" : "free", look->nnumbers,
               (unsigned) sum->waits, sum->bytes,
               time_text(sum->oldest, oldest),
               look->aside > 0 ? "  some set aside" : "",
               cluster[0] ? "  cluster " : "", cluster);
        return;
    }

    trk_buf_init(&text, 64 * 1024);
    trk_buf_lit(&text, "{\"edge\":");
    trk_buf_json_string(&text, trk_str_of(look->dir.edge, TRK_SPOOL_EDGE));
    trk_buf_lit(&text, ",\"owned\":");

    if (look->owned) {
        trk_buf_lit(&text, "true");

    } else {
        trk_buf_lit(&text, "false");
    }

    trk_buf_lit(&text, ",\"cluster\":");
    trk_buf_json_string(&text, trk_str_of(cluster, strlen(cluster)));
    trk_buf_lit(&text, ",\"segments\":");
    trk_buf_uint(&text, look->nnumbers);
    trk_buf_lit(&text, ",\"waits\":");
    trk_buf_uint(&text, sum->waits);
    trk_buf_lit(&text, ",\"bytes\":");
    trk_buf_uint(&text, sum->bytes);
    trk_buf_lit(&text, ",\"oldest\":");
    trk_buf_int(&text, sum->oldest);
    trk_buf_lit(&text, ",\"aside\":");
    trk_buf_int(&text, look->aside > 0 ? look->aside : 0);
    trk_buf_lit(&text, "}\n");
    print_text(&text);
    trk_buf_free(&text);
}


static int
list_one(const char *edge, void *data)
{
    look_t                         *look = data;
    size_t                          i;
    ngx_http_track_spool_loaded_t   sum, loaded;

    if (look_open(look, edge) == -1) {
        return 0;
    }

    memset(&sum, 0, sizeof(sum));

    for (i = 0; i < look->nnumbers; i++) {

        if (look_load(look, look->numbers[i], &loaded) == -1) {
            continue;
        }

        sum.waits += loaded.waits;
        sum.bytes += loaded.bytes;

        if (sum.oldest == 0
            || (loaded.oldest && loaded.oldest < sum.oldest))
        {
            sum.oldest = loaded.oldest;
        }

        free(loaded.states);
    }

    list_print(look, &sum, look->dir.meta.cluster);
    look_close(look);

    return 0;
}


static void
verify_print(const look_t *look, const ngx_http_track_spool_loaded_t *loaded,
    int header)
{
    char  name[TRK_SPOOL_NAME];

    trk_spool_segment_name(&(trk_spool_segment_t) { .number = loaded->number },
                           name);

    if (look->options->json) {
        printf("{\"edge\":\"%s\",\"segment\":\"%s\",\"records\":%u,"
               "\"waits\":%u,\"damaged\":%u,\"torn\":%jd,\"header\":%s}\n",
               look->dir.edge, name, (unsigned) loaded->n,
               (unsigned) loaded->waits, (unsigned) loaded->bad,
               (intmax_t) loaded->torn, header ? "true" : "false");
        return;
    }

    printf("%s/%s  %u records, %u wait", look->dir.edge, name,
           (unsigned) loaded->n, (unsigned) loaded->waits);

    if (loaded->bad) {
        printf(", damaged at %u places", (unsigned) loaded->bad);
    }

    if (!header) {
        printf(", header damaged");
    }

    /* whoever wrote it was killed, or is at it right now */

    if (loaded->torn) {
        printf(", a last write of %jd bytes never ended%s",
               (intmax_t) loaded->torn, look->owned ? " (yet)" : "");
    }

    printf("\n");
}


static int
verify_one(const char *edge, void *data)
{
    look_t                         *look = data;
    char                            error[NGX_HTTP_TRACK_SPOOL_ERROR];
    size_t                          i;
    ngx_http_track_spool_loaded_t   loaded;
    ngx_http_track_spool_reader_t   rd;

    if (look_open(look, edge) == -1) {
        return 0;
    }

    for (i = 0; i < look->nnumbers; i++) {

        if (look_load(look, look->numbers[i], &loaded) == -1
            || loaded.states == NULL)
        {
            continue;
        }

        if (ngx_http_track_spool_io_open(&look->dir, &rd, look->numbers[i], 0,
                                         0, -1, error)
            == -1)
        {
            rd.header = TRK_OK;     /* drained and unlinked meanwhile */
        }

        verify_print(look, &loaded, rd.header == TRK_OK);

        if (loaded.bad || rd.header != TRK_OK) {
            look->worst = SPOOL_BAD;
        }

        ngx_http_track_spool_io_shut(&rd);
        free(loaded.states);
    }

    look_close(look);

    return 0;
}


static const char *
kind_name(trk_spool_kind_t kind)
{
    switch (kind) {

    case TRK_SPOOL_ACCEPTED:
        return "accepted";

    case TRK_SPOOL_REJECTED:
        return "rejected";

    default:
        return "damaged";
    }
}


static void
cat_json(const look_t *look, uint32_t number, const trk_spool_record_t *r,
    trk_buf_t *text)
{
    char        name[TRK_SPOOL_NAME], at[TRK_TIME_LEN + 1];
    const char *kind;

    trk_spool_segment_name(&(trk_spool_segment_t) { .number = number }, name);
    kind = kind_name(r->kind);

    trk_buf_lit(text, "{\"edge\":");
    trk_buf_json_string(text, trk_str_of(look->dir.edge, TRK_SPOOL_EDGE));
    trk_buf_lit(text, ",\"segment\":");
    trk_buf_json_string(text, trk_str_of(name, strlen(name)));
    trk_buf_lit(text, ",\"index\":");
    trk_buf_uint(text, r->index);
    trk_buf_lit(text, ",\"kind\":");
    trk_buf_json_string(text, trk_str_of(kind, strlen(kind)));
    trk_buf_lit(text, ",\"seq\":");
    trk_buf_uint(text, r->seq);
    trk_buf_lit(text, ",\"at\":");
    trk_buf_json_string(text, trk_str_of(time_text(r->at, at),
                                         strlen(time_text(r->at, at))));
    trk_buf_lit(text, ",\"topic\":");
    trk_buf_json_string(text, r->topic);
    trk_buf_lit(text, ",\"key\":");
    trk_buf_json_string(text, r->key);
    trk_buf_lit(text, ",\"value\":");
    trk_buf_json_string(text, r->value);
    trk_buf_byte(text, '}');
}


static void
cat_record(look_t *look, uint32_t number, const trk_spool_record_t *record,
    trk_buf_t *text)
{
    trk_buf_reset(text, 1024 * 1024);

    if (look->options->json) {
        cat_json(look, number, record, text);

    } else {
        trk_buf_str(text, record->value);
    }

    trk_buf_byte(text, '\n');
    print_text(text);
}


/* states NULL: all of them. */
static void
cat_segment(look_t *look, uint32_t number,
    const ngx_http_track_spool_loaded_t *loaded)
{
    int                            rc;
    char                           error[NGX_HTTP_TRACK_SPOOL_ERROR];
    trk_buf_t                      text;
    trk_spool_record_t             record;
    ngx_http_track_spool_reader_t  rd;

    trk_buf_init(&text, 256 * 1024 * 1024);

    rc = ngx_http_track_spool_io_open(&look->dir, &rd, number, 0, 0,
                                      loaded ? loaded->size : -1, error);
    while (rc == 0) {

        rc = ngx_http_track_spool_io_next(&rd, &record, error);

        if (rc == TRK_CORRUPT) {
            look->worst = SPOOL_BAD;
            rc = TRK_OK;
            continue;
        }

        if (rc == TRK_OK
            && (look->options->all || loaded == NULL
                || (record.index < loaded->n
                    && loaded->states[record.index]
                       == NGX_HTTP_TRACK_SPOOL_WAITS)))
        {
            cat_record(look, number, &record, &text);
        }
    }

    if (rc != TRK_NOTFOUND) {
        spool_complain(look->dir.edge, error);
        look->worst = SPOOL_BAD;
    }

    ngx_http_track_spool_io_shut(&rd);
    trk_buf_free(&text);
}


static int
cat_one(const char *edge, void *data)
{
    look_t                         *look = data;
    size_t                          i;
    ngx_http_track_spool_loaded_t   loaded;

    if (look_open(look, edge) == -1) {
        return 0;
    }

    if (look->options->aside) {

        if (look->aside > 0) {
            cat_segment(look, TRK_SPOOL_ASIDE, NULL);
        }

        look_close(look);
        return 0;
    }

    for (i = 0; i < look->nnumbers; i++) {
        if (look_load(look, look->numbers[i], &loaded) == 0
            && loaded.states)
        {
            cat_segment(look, look->numbers[i], &loaded);
            free(loaded.states);
        }
    }

    look_close(look);

    return 0;
}


static int
run(const command_t *command, const spool_options_t *options)
{
    char    error[NGX_HTTP_TRACK_SPOOL_ERROR];
    look_t  look;

    if (command->run_all) {
        return command->run_all(options);
    }

    memset(&look, 0, sizeof(look));
    look.options = options;

    if (options->edge) {
        (void) command->run(options->edge, &look);

    } else if (ngx_http_track_spool_io_edges(options->path, command->run,
                                             &look, error)
               == -1)
    {
        spool_complain("", error);
        return SPOOL_MISUSE;
    }

    if (fflush(stdout) == EOF) {
        spool_complain("", "writing the output failed");
        return SPOOL_MISUSE;
    }

    return look.worst;
}


/* PATH/EDGE: the path, and one spool of it. */
static void
name_spools(spool_options_t *options, char *path)
{
    char  *last;

    last = path + strlen(path);

    while (last > path + 1 && last[-1] == '/') {
        *--last = '\0';
    }

    options->path = path;
    last = strrchr(path, '/');

    if (last && last != path && trk_spool_is_edge(last + 1)) {
        *last = '\0';
        options->edge = last + 1;

    } else if (last == NULL && trk_spool_is_edge(path)) {
        options->path = ".";
        options->edge = path;
    }
}


/* -1: wrong use; -2: help was printed. */
static int
read_options(spool_options_t *options, int argc, char **argv)
{
    int                         c;
    static const struct option  names[] = {
        { "json", no_argument, NULL, 'j' },
        { "all", no_argument, NULL, 'a' },
        { "aside", no_argument, NULL, 's' },
        { "brokers", required_argument, NULL, 'b' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };

    while ((c = getopt_long(argc, argv, "hb:X:", names, NULL)) != -1) {

        switch (c) {

        case 'j':
            options->json = 1;
            break;

        case 'a':
            options->all = 1;
            break;

        case 's':
            options->aside = 1;
            break;

        case 'b':
            options->brokers = optarg;
            break;

        case 'X':
            options->properties[options->nproperties++] = optarg;
            break;

        case 'h':
            fputs(usage, stdout);
            return -2;

        default:
            return -1;
        }
    }

    return argc - optind == 2 ? 0 : -1;
}


int
main(int argc, char **argv)
{
    int                rc;
    const command_t   *command;
    spool_options_t    options;

    memset(&options, 0, sizeof(options));
    options.properties = calloc((size_t) argc, sizeof(char *));

    if (options.properties == NULL) {
        spool_complain("", "no memory");
        return SPOOL_MISUSE;
    }

    rc = read_options(&options, argc, argv);

    if (rc == 0) {
        name_spools(&options, argv[optind + 1]);

        for (command = commands; command->name; command++) {
            if (strcmp(command->name, argv[optind]) == 0) {
                break;
            }
        }

        rc = command->name ? run(command, &options) : misuse();

    } else {
        rc = rc == -2 ? 0 : misuse();
    }

    free(options.properties);

    return rc;
}
