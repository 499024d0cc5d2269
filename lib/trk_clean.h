/*
 * Cleaning: what a row says that its record does not say literally.  Pure
 * functions of the record and its place in Kafka, so a replay gives the same
 * row.
 */

#ifndef TRK_CLEAN_H
#define TRK_CLEAN_H

#include "trk.h"


/* A sender's clock is believed this far from when the event was received. */
#define TRK_CLEAN_PAST    (30LL * 86400 * 1000)     /* ms */
#define TRK_CLEAN_FUTURE  (3600LL * 1000)           /* ms */

/* Days since the epoch that ClickHouse's Date can hold (2149-06-06). */
#define TRK_CLEAN_DAY_MAX  65535


typedef struct {
    int64_t  ms;            /* event_time, since the epoch */
    int32_t  day;           /* event_date, 0..TRK_CLEAN_DAY_MAX */
    int      replaced;      /* timestamp was not believed */
} trk_clean_time_t;


/*
 * When the event happened.  timestamp, received and kafka are milliseconds
 * since the epoch, each NULL if absent.  The time is the timestamp unless
 * that lies outside [-TRK_CLEAN_PAST, +TRK_CLEAN_FUTURE] of received, or of
 * kafka where received is absent; then it is that one instead, so that a bad
 * clock cannot create thousands of daily partitions.
 * TRK_INVALID: neither received nor kafka, or a date outside of Date.
 */
TRK_MUSTCHECK int trk_clean_time(trk_clean_time_t *t,
    const int64_t *timestamp, const int64_t *received, const int64_t *kafka);


#endif /* TRK_CLEAN_H */
