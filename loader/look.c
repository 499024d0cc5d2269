/*
 * Looks and kills: see look.h.
 */

#include "look.h"

#include <stdlib.h>

#include "conf.h"


void
loader_sql_string(trk_buf_t *sql, const char *s)
{
    trk_buf_byte(sql, '\'');

    for (; *s != '\0'; s++) {
        if (*s == '\'' || *s == '\\') {
            trk_buf_byte(sql, '\\');
        }

        trk_buf_byte(sql, (uint8_t) *s);
    }

    trk_buf_byte(sql, '\'');
}


static void
add_where(trk_buf_t *sql, const char *topic, int32_t partition)
{
    trk_buf_lit(sql, " WHERE kafka_topic = ");
    loader_sql_string(sql, topic);
    trk_buf_lit(sql, " AND kafka_partition = ");
    trk_buf_int(sql, partition);
}


static void
add_range(trk_buf_t *sql, const char *table, const char *topic,
    int32_t partition, int64_t first, int64_t last)
{
    trk_buf_lit(sql, "SELECT kafka_offset FROM " LOADER_DATABASE ".");
    trk_buf_add(sql, table, strlen(table));
    add_where(sql, topic, partition);
    trk_buf_lit(sql, " AND kafka_offset >= ");
    trk_buf_int(sql, first);
    trk_buf_lit(sql, " AND kafka_offset <= ");
    trk_buf_int(sql, last);
}


void
loader_look_sql(trk_buf_t *sql, const char *topic, int32_t partition,
    int64_t first, int64_t last)
{
    trk_buf_lit(sql, "SELECT toUInt64(uptime()), "
                "arraySort(groupArray(kafka_offset)) FROM (");
    add_range(sql, "events", topic, partition, first, last);
    trk_buf_lit(sql, " UNION ALL ");
    add_range(sql, "events_skipped", topic, partition, first, last);
    trk_buf_lit(sql, ") FORMAT RowBinary");
}


static int
read_varint(trk_str_t *s, uint64_t *v)
{
    unsigned  shift;

    *v = 0;

    for (shift = 0; shift < 64 && s->n > 0; shift += 7) {
        *v |= (uint64_t) (s->p[0] & 0x7f) << shift;
        s->n--;

        if ((*s->p++ & 0x80) == 0) {
            return TRK_OK;
        }
    }

    return TRK_CORRUPT;
}


/* The sorted offsets at s, each once. */

static void
take_offsets(loader_standing_t *standing, trk_str_t s, size_t n)
{
    size_t    i;
    uint64_t  offset;

    for (i = 0; i < n; i++) {
        memcpy(&offset, s.p + i * sizeof(offset), sizeof(offset));

        if (standing->n > 0 && standing->offsets[standing->n - 1] == offset) {
            standing->twice++;
            continue;
        }

        standing->offsets[standing->n++] = offset;
    }
}


int
loader_look_read(loader_standing_t *standing, trk_str_t answer)
{
    uint64_t  n;

    loader_standing_reset(standing);

    if (answer.n < sizeof(standing->uptime)) {
        return TRK_CORRUPT;
    }

    memcpy(&standing->uptime, answer.p, sizeof(standing->uptime));
    answer = trk_str_of(answer.p + sizeof(standing->uptime),
                        answer.n - sizeof(standing->uptime));

    if (read_varint(&answer, &n) != TRK_OK
        || answer.n % sizeof(uint64_t) != 0
        || answer.n / sizeof(uint64_t) != n)
    {
        return TRK_CORRUPT;
    }

    standing->offsets = malloc(n ? n * sizeof(uint64_t) : 1);
    if (standing->offsets == NULL) {
        return TRK_NOMEM;
    }

    take_offsets(standing, answer, n);

    return TRK_OK;
}


int
loader_standing_has(const loader_standing_t *standing, uint64_t offset)
{
    size_t  low, high, middle;

    low = 0;
    high = standing->n;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (standing->offsets[middle] < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }

    return low < standing->n && standing->offsets[low] == offset;
}


void
loader_standing_reset(loader_standing_t *standing)
{
    free(standing->offsets);
    memset(standing, 0, sizeof(*standing));
}


/* A server killed between an insert's rows and the view's leaves
 * offsets_landed behind them, but only within the intent that is committed,
 * which is dealt with anyway. */

void
loader_landed_sql(trk_buf_t *sql, const char *topic, int32_t partition)
{
    trk_buf_lit(sql, "SELECT if(count() = 0, -1, toInt64(max(kafka_offset)))"
                " FROM " LOADER_DATABASE ".offsets_landed");
    add_where(sql, topic, partition);
    trk_buf_lit(sql, " FORMAT TSV");
}


int
loader_landed_read(trk_str_t answer, int64_t *landed)
{
    char   text[32], *end;

    if (answer.n == 0 || answer.n >= sizeof(text)) {
        return TRK_CORRUPT;
    }

    memcpy(text, answer.p, answer.n);
    text[answer.n] = '\0';

    *landed = strtoll(text, &end, 10);

    return end != text && *end == '\n' && *landed >= -1 ? TRK_OK
                                                        : TRK_CORRUPT;
}


void
loader_query_prefix(trk_buf_t *out, const char *topic, int32_t partition)
{
    trk_buf_lit(out, "track-loader/" LOADER_DATABASE "/");
    trk_buf_add(out, topic, strlen(topic));
    trk_buf_byte(out, '/');
    trk_buf_int(out, partition);
    trk_buf_byte(out, '/');
}


/* A topic's name has letters, digits, ".", "_", "-" only: the prefix needs no
 * escapes in a literal. */

void
loader_kill_sql(trk_buf_t *sql, const char *topic, int32_t partition)
{
    trk_buf_lit(sql, "KILL QUERY WHERE startsWith(query_id, '");
    loader_query_prefix(sql, topic, partition);
    trk_buf_lit(sql, "') SYNC FORMAT Null");
}
