/*
 * Taking a partition over (design: Loader): what earlier owners may still be
 * doing is ended, what they have left is read.
 *
 * locality: main thread, also inside a rebalance; blocks for a bounded time.
 */

#ifndef LOADER_TAKEOVER_H
#define LOADER_TAKEOVER_H

#include "loader.h"


#define LOADER_TAKEOVER_MS  5000    /* for each of its four questions */


/*
 * No commit of ours may be under way.
 * TRK_OK       *plan says how to go on.
 * TRK_AGAIN    Kafka or ClickHouse does not answer: later.
 * TRK_CORRUPT  must not be taken as things stand.
 * error is a sentence in the last two.
 */
TRK_MUSTCHECK int loader_takeover(loader_t *loader, const char *topic,
    int32_t partition, trk_plan_t *plan, char error[LOADER_ERROR_MAX]);


#endif /* LOADER_TAKEOVER_H */
