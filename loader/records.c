/*
 * Lists of copied records: see records.h.  A record is one piece of memory:
 * value, key and reason behind each other.
 */

#include "records.h"

#include <stdlib.h>


/* NULL stays NULL: a tombstone is not an empty value. */

static trk_str_t
copy(uint8_t **p, trk_str_t s)
{
    trk_str_t  to;

    if (s.p == NULL) {
        return trk_null;
    }

    to = trk_str_of(*p, s.n);
    memcpy(*p, s.p, s.n);
    *p += s.n;

    return to;
}


static int
grow(loader_records_t *list)
{
    size_t            cap;
    loader_record_t  *v;

    if (list->head == list->n) {
        list->head = 0;
        list->n = 0;
    }

    if (list->n < list->cap) {
        return TRK_OK;
    }

    cap = list->cap ? list->cap * 2 : 16;

    v = realloc(list->v, cap * sizeof(*v));
    if (v == NULL) {
        return TRK_NOMEM;
    }

    list->v = v;
    list->cap = cap;

    return TRK_OK;
}


/* What a record adds to bytes. */

static size_t
footprint(const loader_record_t *record)
{
    return sizeof(*record) + record->msg.value.n + record->key.n
           + (record->reason ? strlen(record->reason) + 1 : 1);
}


int
loader_records_add(loader_records_t *list, const loader_message_t *msg,
    trk_str_t key, const char *reason)
{
    size_t            len;
    uint8_t          *p;
    loader_record_t  *record;

    len = reason ? strlen(reason) : 0;

    if (grow(list) != TRK_OK) {
        return TRK_NOMEM;
    }

    p = malloc(msg->value.n + key.n + len + 1);
    if (p == NULL) {
        return TRK_NOMEM;
    }

    record = &list->v[list->n++];

    record->memory = p;
    record->state = LOADER_DEAD_NEW;
    record->msg = *msg;
    record->msg.value = copy(&p, msg->value);
    record->key = copy(&p, key);
    record->reason = NULL;

    if (reason != NULL) {
        record->reason = (char *) p;
        memcpy(p, reason, len + 1);
    }

    list->bytes += footprint(record);

    return TRK_OK;
}


loader_record_t *
loader_records_first(loader_records_t *list)
{
    return list->head < list->n ? &list->v[list->head] : NULL;
}


void
loader_records_shift(loader_records_t *list)
{
    loader_record_t  *record;

    record = &list->v[list->head++];
    list->bytes -= footprint(record);
    free(record->memory);
}


void
loader_records_reset(loader_records_t *list)
{
    while (loader_records_first(list) != NULL) {
        loader_records_shift(list);
    }

    free(list->v);
    memset(list, 0, sizeof(*list));
}
