/*
 * Writing and reading the schema as JSON.  See trk_schema_json.h.
 */

#include "trk_schema_json.h"
#include "trk_json.h"

#include <stdio.h>


#define TRK_SCHEMA_FORMAT  2
#define TRK_SCHEMA_STRING  65536        /* bytes of a decoded string */


typedef struct {
    trk_json_t     json;
    trk_buf_t      buf;         /* a decoded string */
    trk_schema_t  *schema;
    char          *error;       /* the caller's */
} trk_schema_reader_t;

/* What takes one element of a list. */
typedef int (*trk_schema_read_pt)(trk_schema_reader_t *rd, uint32_t node);


static void trk_write_begin(trk_buf_t *out, size_t i);
static void trk_write_word(trk_buf_t *out, const char *word);
static void trk_write_type(trk_buf_t *out, const trk_schema_type_t *type);
static void trk_write_source(trk_buf_t *out,
    const trk_schema_source_t *source);
static void trk_write_list(trk_buf_t *out, const trk_schema_list_t *list);
static void trk_write_hash(trk_buf_t *out, const uint8_t *hash);
static int trk_read_schema(trk_schema_reader_t *rd);
static int trk_read_lists(trk_schema_reader_t *rd);
static int trk_read_list(trk_schema_reader_t *rd, trk_str_t name,
    trk_schema_read_pt read);
static int trk_read_type(trk_schema_reader_t *rd, uint32_t node);
static int trk_read_field(trk_schema_reader_t *rd, trk_schema_type_t *type,
    uint32_t node);
static int trk_read_source(trk_schema_reader_t *rd, uint32_t node);
static int trk_read_strings(trk_schema_reader_t *rd,
    trk_schema_source_t *source, uint32_t node, trk_str_t name,
    int (*add)(trk_schema_t *, trk_schema_source_t *, trk_str_t));
static int trk_read_key(trk_schema_reader_t *rd, uint32_t node);
static int trk_read_token(trk_schema_reader_t *rd, uint32_t node);
static uint32_t trk_read_member(trk_schema_reader_t *rd, uint32_t node,
    trk_str_t name, trk_json_type_t type);
static trk_str_t trk_read_string(trk_schema_reader_t *rd, uint32_t node,
    trk_str_t name);
static int trk_read_flag(trk_schema_reader_t *rd, uint32_t node,
    trk_str_t name, int *flag);
static int trk_read_hash(trk_schema_reader_t *rd, uint32_t node,
    uint8_t hash[TRK_SHA256_LEN]);
static int trk_read_failed(trk_schema_reader_t *rd, int rc, const char *what);


void
trk_schema_json_write(const trk_schema_t *schema, trk_buf_t *out)
{
    char    lineage[TRK_UUID_LEN];
    size_t  i;

    trk_uuid_format(&schema->lineage, lineage);

    trk_buf_lit(out, "{\"format\":");
    trk_buf_uint(out, TRK_SCHEMA_FORMAT);
    trk_buf_lit(out, ",\"lineage\":\"");
    trk_buf_add(out, lineage, TRK_UUID_LEN);
    trk_buf_lit(out, "\",\"version\":");
    trk_buf_uint(out, schema->version);
    trk_buf_lit(out, ",\"event_types\":[");

    for (i = 0; i < schema->ntypes; i++) {
        trk_write_begin(out, i);
        trk_write_type(out, &schema->types[i]);
    }

    trk_buf_lit(out, "\n],\"sources\":[");

    for (i = 0; i < schema->nsources; i++) {
        trk_write_begin(out, i);
        trk_write_source(out, &schema->sources[i]);
    }

    trk_buf_lit(out, "\n],\"keys\":[");

    for (i = 0; i < schema->nkeys; i++) {
        trk_write_begin(out, i);
        trk_write_hash(out, schema->keys[i].hash);
        trk_buf_lit(out, ",\"source\":");
        trk_buf_json_string(out, schema->keys[i].source);
        trk_buf_byte(out, '}');
    }

    trk_buf_lit(out, "\n],\"tokens\":[");

    for (i = 0; i < schema->ntokens; i++) {
        trk_write_begin(out, i);
        trk_write_hash(out, schema->tokens[i].hash);

        if (schema->tokens[i].expires != TRK_SCHEMA_NEVER) {
            trk_buf_lit(out, ",\"expires_at\":");
            trk_buf_int(out, schema->tokens[i].expires);
        }

        trk_buf_byte(out, '}');
    }

    trk_buf_lit(out, "\n]}\n");
}


/* An element of a list: on a line of its own. */

static void
trk_write_begin(trk_buf_t *out, size_t i)
{
    trk_buf_add(out, ",\n", i == 0 ? 0 : 1);
    trk_buf_byte(out, '\n');
}


static void
trk_write_word(trk_buf_t *out, const char *word)
{
    trk_buf_add(out, word, strlen(word));
}


static void
trk_write_type(trk_buf_t *out, const trk_schema_type_t *type)
{
    size_t                     i;
    const trk_schema_field_t  *field;

    trk_buf_lit(out, "{\"name\":");
    trk_buf_json_string(out, type->name);
    trk_buf_lit(out, ",\"enabled\":");
    trk_write_word(out, type->enabled ? "true" : "false");
    trk_buf_lit(out, ",\"additional_fields\":\"");
    trk_write_word(out, trk_additional_name(type->additional));
    trk_buf_lit(out, "\",\"fields\":[");

    for (i = 0; i < type->nfields; i++) {
        field = &type->fields[i];

        trk_buf_add(out, ",", i == 0 ? 0 : 1);
        trk_buf_lit(out, "{\"name\":");
        trk_buf_json_string(out, field->name);
        trk_buf_lit(out, ",\"data_type\":\"");
        trk_write_word(out, trk_data_type_name(field->data_type));
        trk_buf_lit(out, "\",\"required\":");
        trk_write_word(out, field->required ? "true}" : "false}");
    }

    trk_buf_lit(out, "]}");
}


static void
trk_write_source(trk_buf_t *out, const trk_schema_source_t *source)
{
    trk_buf_lit(out, "{\"name\":");
    trk_buf_json_string(out, source->name);
    trk_buf_lit(out, ",\"origins\":");
    trk_write_list(out, &source->origins);
    trk_buf_lit(out, ",\"event_types\":");
    trk_write_list(out, &source->types);
    trk_buf_byte(out, '}');
}


static void
trk_write_list(trk_buf_t *out, const trk_schema_list_t *list)
{
    size_t  i;

    trk_buf_byte(out, '[');

    for (i = 0; i < list->n; i++) {
        trk_buf_add(out, ",", i == 0 ? 0 : 1);
        trk_buf_json_string(out, list->items[i]);
    }

    trk_buf_byte(out, ']');
}


/* The beginning of an object. */

static void
trk_write_hash(trk_buf_t *out, const uint8_t *hash)
{
    char  hex[2 * TRK_SHA256_LEN];

    trk_hex(hex, hash, TRK_SHA256_LEN);

    trk_buf_lit(out, "{\"hash\":\"");
    trk_buf_add(out, hex, sizeof(hex));
    trk_buf_byte(out, '"');
}


int
trk_schema_json_read(trk_str_t text, trk_schema_t **schema,
    char error[TRK_SCHEMA_ERROR_MAX])
{
    int                  rc;
    trk_schema_reader_t  rd;

    trk_json_init(&rd.json);
    trk_buf_init(&rd.buf, TRK_SCHEMA_STRING);
    rd.schema = NULL;
    rd.error = error;

    rc = trk_json_parse(&rd.json, text.p, text.n);

    if (rc == TRK_OK && rd.json.nodes[0].type == TRK_JSON_OBJECT) {
        rc = trk_read_schema(&rd);

    } else {
        rc = trk_read_failed(&rd, rc == TRK_NOMEM ? TRK_NOMEM : TRK_INVALID,
                             "is not a JSON object");
    }

    if (rc != TRK_OK) {
        trk_schema_free(rd.schema);
        rd.schema = NULL;
    }

    trk_json_free(&rd.json);
    trk_buf_free(&rd.buf);

    *schema = rd.schema;

    return rc;
}


static int
trk_read_schema(trk_schema_reader_t *rd)
{
    int         rc;
    int64_t     version;
    uint32_t    node;
    trk_str_t   format;
    trk_uuid_t  lineage;

    node = trk_read_member(rd, 0, trk_str("format"), TRK_JSON_NUMBER);
    format = node ? trk_json_text(&rd->json, node) : trk_null;

    if (!trk_str_eq(format, trk_str("1"))
        && !trk_str_eq(format, trk_str("2")))
    {
        return trk_read_failed(rd, TRK_INVALID, "has an unknown format");
    }

    if (trk_uuid_parse(trk_read_string(rd, 0, trk_str("lineage")), &lineage)
        != TRK_OK)
    {
        return trk_read_failed(rd, TRK_INVALID, "has no lineage");
    }

    node = trk_read_member(rd, 0, trk_str("version"), TRK_JSON_NUMBER);

    if (node == 0
        || trk_number_int64(trk_json_text(&rd->json, node), &version)
           != TRK_OK)
    {
        return trk_read_failed(rd, TRK_INVALID, "has no version");
    }

    rd->schema = trk_schema_create(&lineage, (uint64_t) version);

    if (rd->schema == NULL) {
        return trk_read_failed(rd, TRK_NOMEM, "");
    }

    rc = trk_read_list(rd, trk_str("event_types"), trk_read_type);

    if (rc == TRK_OK && format.p[0] != '1') {
        rc = trk_read_lists(rd);
    }

    if (rc != TRK_OK) {
        return rc;
    }

    rc = trk_schema_finish(rd->schema);

    return rc == TRK_OK ? TRK_OK
                        : trk_read_failed(rd, rc, rd->schema->error);
}


/* What format 1 did not have. */

static int
trk_read_lists(trk_schema_reader_t *rd)
{
    int  rc;

    rc = trk_read_list(rd, trk_str("sources"), trk_read_source);

    if (rc == TRK_OK) {
        rc = trk_read_list(rd, trk_str("keys"), trk_read_key);
    }

    if (rc == TRK_OK) {
        rc = trk_read_list(rd, trk_str("tokens"), trk_read_token);
    }

    return rc;
}


static int
trk_read_list(trk_schema_reader_t *rd, trk_str_t name,
    trk_schema_read_pt read)
{
    int                     rc;
    char                    what[64];
    uint32_t                list, i;
    const trk_json_node_t  *nodes;

    list = trk_read_member(rd, 0, name, TRK_JSON_ARRAY);
    rc = list ? TRK_OK : TRK_INVALID;
    nodes = rd->json.nodes;

    for (i = list + 1; rc == TRK_OK && i < nodes[list].next;
         i = nodes[i].next)
    {
        rc = nodes[i].type == TRK_JSON_OBJECT ? read(rd, i) : TRK_INVALID;
    }

    if (rc == TRK_OK) {
        return TRK_OK;
    }

    (void) snprintf(what, sizeof(what), "has no or damaged %.*s",
                    (int) name.n, (const char *) name.p);

    return trk_read_failed(rd, rc, what);
}


static int
trk_read_type(trk_schema_reader_t *rd, uint32_t node)
{
    int                 rc, enabled;
    uint32_t            fields, i;
    trk_additional_t    additional;
    trk_schema_type_t  *type;

    if (trk_read_flag(rd, node, trk_str("enabled"), &enabled) != TRK_OK
        || trk_additional_parse(trk_read_string(rd, node,
                                               trk_str("additional_fields")),
                                &additional)
           != TRK_OK)
    {
        return TRK_INVALID;
    }

    type = trk_schema_add_type(rd->schema,
                               trk_read_string(rd, node, trk_str("name")),
                               enabled, additional);
    if (type == NULL) {
        return TRK_NOMEM;
    }

    fields = trk_read_member(rd, node, trk_str("fields"), TRK_JSON_ARRAY);
    rc = fields ? TRK_OK : TRK_INVALID;

    for (i = fields + 1; rc == TRK_OK && i < rd->json.nodes[fields].next;
         i = rd->json.nodes[i].next)
    {
        rc = trk_read_field(rd, type, i);
    }

    return rc;
}


static int
trk_read_field(trk_schema_reader_t *rd, trk_schema_type_t *type,
    uint32_t node)
{
    int              required;
    trk_data_type_t  data_type;

    if (rd->json.nodes[node].type != TRK_JSON_OBJECT
        || trk_read_flag(rd, node, trk_str("required"), &required) != TRK_OK
        || trk_data_type_parse(trk_read_string(rd, node,
                                               trk_str("data_type")),
                               &data_type)
           != TRK_OK)
    {
        return TRK_INVALID;
    }

    return trk_schema_add_field(rd->schema, type,
                                trk_read_string(rd, node, trk_str("name")),
                                data_type, required);
}


static int
trk_read_source(trk_schema_reader_t *rd, uint32_t node)
{
    int                   rc;
    trk_schema_source_t  *source;

    source = trk_schema_add_source(rd->schema,
                                   trk_read_string(rd, node,
                                                   trk_str("name")));
    if (source == NULL) {
        return TRK_NOMEM;
    }

    rc = trk_read_strings(rd, source, node, trk_str("origins"),
                          trk_schema_add_origin);

    if (rc == TRK_OK) {
        rc = trk_read_strings(rd, source, node, trk_str("event_types"),
                              trk_schema_add_allowed);
    }

    return rc;
}


static int
trk_read_strings(trk_schema_reader_t *rd, trk_schema_source_t *source,
    uint32_t node, trk_str_t name,
    int (*add)(trk_schema_t *, trk_schema_source_t *, trk_str_t))
{
    int                     rc;
    uint32_t                list, i;
    const trk_json_node_t  *nodes;

    list = trk_read_member(rd, node, name, TRK_JSON_ARRAY);
    rc = list ? TRK_OK : TRK_INVALID;
    nodes = rd->json.nodes;

    for (i = list + 1; rc == TRK_OK && i < nodes[list].next;
         i = nodes[i].next)
    {
        rc = nodes[i].type == TRK_JSON_STRING
             ? add(rd->schema, source,
                   trk_json_string(&rd->json, i, &rd->buf))
             : TRK_INVALID;
    }

    return rc;
}


static int
trk_read_key(trk_schema_reader_t *rd, uint32_t node)
{
    uint8_t  hash[TRK_SHA256_LEN];

    if (trk_read_hash(rd, node, hash) != TRK_OK) {
        return TRK_INVALID;
    }

    return trk_schema_add_key(rd->schema,
                              trk_read_string(rd, node, trk_str("source")),
                              hash);
}


static int
trk_read_token(trk_schema_reader_t *rd, uint32_t node)
{
    int64_t   expires;
    uint8_t   hash[TRK_SHA256_LEN];
    uint32_t  member;

    expires = TRK_SCHEMA_NEVER;
    member = trk_json_member(&rd->json, node, trk_str("expires_at"));

    if (trk_read_hash(rd, node, hash) != TRK_OK
        || (member != 0
            && (rd->json.nodes[member].type != TRK_JSON_NUMBER
                || trk_number_int64(trk_json_text(&rd->json, member),
                                    &expires)
                   != TRK_OK)))
    {
        return TRK_INVALID;
    }

    return trk_schema_add_token(rd->schema, hash, expires);
}


/* 0: there is no such member, or it is of another type. */

static uint32_t
trk_read_member(trk_schema_reader_t *rd, uint32_t node, trk_str_t name,
    trk_json_type_t type)
{
    uint32_t  member;

    member = trk_json_member(&rd->json, node, name);

    return member && rd->json.nodes[member].type == type ? member : 0;
}


/* Empty if there is no such string; good until the next call. */

static trk_str_t
trk_read_string(trk_schema_reader_t *rd, uint32_t node, trk_str_t name)
{
    uint32_t  member;

    member = trk_read_member(rd, node, name, TRK_JSON_STRING);

    return member ? trk_json_string(&rd->json, member, &rd->buf) : trk_null;
}


static int
trk_read_flag(trk_schema_reader_t *rd, uint32_t node, trk_str_t name,
    int *flag)
{
    *flag = trk_read_member(rd, node, name, TRK_JSON_TRUE) != 0;

    return *flag || trk_read_member(rd, node, name, TRK_JSON_FALSE)
           ? TRK_OK : TRK_INVALID;
}


static int
trk_read_hash(trk_schema_reader_t *rd, uint32_t node,
    uint8_t hash[TRK_SHA256_LEN])
{
    trk_str_t  hex;

    hex = trk_read_string(rd, node, trk_str("hash"));

    if (hex.n != 2 * TRK_SHA256_LEN) {
        return TRK_INVALID;
    }

    return trk_unhex(hash, hex);
}


/* A sentence without its subject. */

static int
trk_read_failed(trk_schema_reader_t *rd, int rc, const char *what)
{
    (void) snprintf(rd->error, TRK_SCHEMA_ERROR_MAX, "%s",
                    rc == TRK_NOMEM ? "needs more memory" : what);

    return rc;
}
