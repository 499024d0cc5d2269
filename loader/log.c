/*
 * The log.  See log.h.
 */

#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


#define LOADER_LOG_LINE  2048


static void loader_log_line(loader_log_level_t level, const char *fmt,
    va_list args, uint64_t suppressed);
static size_t loader_log_time(char *dst, size_t n);
static void loader_log_write(const char *p, size_t n);
static int64_t loader_clock(clockid_t id);


void
loader_log(loader_log_level_t level, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    loader_log_line(level, fmt, args, 0);
    va_end(args);
}


void
loader_log_limited(loader_log_limit_t *limit, loader_log_level_t level,
    const char *fmt, ...)
{
    int64_t   now, next;
    va_list   args;

    now = loader_monotonic();
    next = atomic_load(&limit->next);

    /* of two threads at once, the one that moves `next` writes */

    if (now < next
        || !atomic_compare_exchange_strong(&limit->next, &next,
                                           now + LOADER_LOG_EVERY))
    {
        atomic_fetch_add(&limit->suppressed, 1);
        return;
    }

    va_start(args, fmt);
    loader_log_line(level, fmt, args, atomic_exchange(&limit->suppressed, 0));
    va_end(args);
}


static void
loader_log_line(loader_log_level_t level, const char *fmt, va_list args,
    uint64_t suppressed)
{
    int     len;
    char    line[LOADER_LOG_LINE], *p;
    size_t  n, room;

    static const char *const  names[] = { "error", "warn", "info" };

    n = loader_log_time(line, sizeof(line));
    n += (size_t) snprintf(line + n, sizeof(line) - n, " [%s] ", names[level]);

    room = sizeof(line) - n - 64;
    len = vsnprintf(line + n, room, fmt, args);
    if (len < 0) {
        return;
    }

    n += (size_t) len < room ? (size_t) len : room - 1;

    for (p = line; p < line + n; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }

    if (suppressed) {
        n += (size_t) snprintf(line + n, sizeof(line) - n - 1,
                               " (and %llu more like this)",
                               (unsigned long long) suppressed);
    }

    line[n++] = '\n';
    loader_log_write(line, n);
}


static size_t
loader_log_time(char *dst, size_t n)
{
    int64_t    ms;
    size_t     len;
    time_t     sec;
    struct tm  tm;

    ms = loader_now();
    sec = (time_t) (ms / 1000);

    if (gmtime_r(&sec, &tm) == NULL) {
        return 0;
    }

    len = strftime(dst, n, "%Y-%m-%dT%H:%M:%S", &tm);

    return len + (size_t) snprintf(dst + len, n - len, ".%03dZ",
                                   (int) (ms % 1000));
}


/* There is nobody to tell when stderr fails. */

static void
loader_log_write(const char *p, size_t n)
{
    ssize_t  sent;

    while (n > 0) {
        sent = write(STDERR_FILENO, p, n);

        if (sent == -1) {
            if (errno == EINTR) {
                continue;
            }

            return;
        }

        p += sent;
        n -= (size_t) sent;
    }
}


static int64_t
loader_clock(clockid_t id)
{
    struct timespec  ts;

    if (clock_gettime(id, &ts) == -1) {
        return 0;
    }

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int64_t
loader_monotonic(void)
{
    return loader_clock(CLOCK_MONOTONIC);
}


int64_t
loader_now(void)
{
    return loader_clock(CLOCK_REALTIME);
}
