/*
 * Counters and gauges.  See metrics.h.
 */

#include "metrics.h"

#include <stdatomic.h>


static _Atomic int64_t  loader_metric_values[LOADER_M_COUNT];

static const struct {
    const char  *name;
    const char  *type;
    const char  *help;
} loader_metric_table[] = {
#define LOADER_METRIC_ROW(symbol, name, type, help)  { name, type, help },
    LOADER_METRICS(LOADER_METRIC_ROW)
#undef LOADER_METRIC_ROW
};


static void loader_metric_line(trk_buf_t *out, const char *before,
    const char *name, const char *after);


void
loader_metric_add(loader_metric_t m, int64_t n)
{
    atomic_fetch_add_explicit(&loader_metric_values[m], n,
                              memory_order_relaxed);
}


void
loader_metric_set(loader_metric_t m, int64_t v)
{
    atomic_store_explicit(&loader_metric_values[m], v, memory_order_relaxed);
}


int64_t
loader_metric_get(loader_metric_t m)
{
    return atomic_load_explicit(&loader_metric_values[m],
                                memory_order_relaxed);
}


void
loader_metrics_write(trk_buf_t *out)
{
    const char  *name;
    unsigned     m;

    for (m = 0; m < LOADER_M_COUNT; m++) {
        name = loader_metric_table[m].name;

        loader_metric_line(out, "# HELP ", name, loader_metric_table[m].help);
        trk_buf_byte(out, '\n');

        loader_metric_line(out, "# TYPE ", name, loader_metric_table[m].type);
        trk_buf_byte(out, '\n');

        loader_metric_line(out, "", name, "");
        trk_buf_int(out, loader_metric_get((loader_metric_t) m));
        trk_buf_byte(out, '\n');
    }
}


static void
loader_metric_line(trk_buf_t *out, const char *before, const char *name,
    const char *after)
{
    trk_buf_add(out, before, strlen(before));
    trk_buf_lit(out, "track_loader_");
    trk_buf_add(out, name, strlen(name));
    trk_buf_byte(out, ' ');
    trk_buf_add(out, after, strlen(after));
}
