
/*
 * Lives of processes, as the zone remembers them: a process id may belong to
 * somebody else by now, but not with the same time of its start.  Event loop of
 * a worker; reads /proc, which never waits for a disk.
 */


#include "ngx_http_track.h"


#define NGX_HTTP_TRACK_PID_MASK   (((ngx_atomic_uint_t) 1                     \
                                    << NGX_HTTP_TRACK_PID_BITS) - 1)

#define NGX_HTTP_TRACK_STAT       1024      /* bytes of /proc/PID/stat */
#define NGX_HTTP_TRACK_STAT_START 20        /* spaces behind the name, before
                                               the start: proc(5), field 22 */


static ngx_atomic_uint_t ngx_http_track_start(ngx_pid_t pid);


ngx_atomic_uint_t
ngx_http_track_life(ngx_pid_t pid)
{
    return (ngx_atomic_uint_t) pid
           | ngx_http_track_start(pid) << NGX_HTTP_TRACK_PID_BITS;
}


ngx_pid_t
ngx_http_track_life_pid(ngx_atomic_uint_t life)
{
    return (ngx_pid_t) (life & NGX_HTTP_TRACK_PID_MASK);
}


ngx_uint_t
ngx_http_track_lives(ngx_atomic_uint_t life)
{
    ngx_pid_t          pid;
    ngx_atomic_uint_t  was, is;

    pid = ngx_http_track_life_pid(life);

    if (pid == 0 || !ngx_http_track_alive(pid)) {
        return 0;
    }

    was = life >> NGX_HTTP_TRACK_PID_BITS;
    is = ngx_http_track_start(pid);

    /* what could not be read says nothing */

    return was == 0 || is == 0 || was == is;
}


ngx_uint_t
ngx_http_track_alive(ngx_atomic_uint_t pid)
{
    return kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


/* In ticks since the machine was started; 0: not known. */

static ngx_atomic_uint_t
ngx_http_track_start(ngx_pid_t pid)
{
    int                fd;
    u_char            *p, *last;
    u_char             path[sizeof("/proc//stat") + NGX_INT64_LEN];
    u_char             stat[NGX_HTTP_TRACK_STAT];
    ssize_t            n;
    ngx_uint_t         spaces;
    ngx_atomic_uint_t  start;

    (void) ngx_sprintf(path, "/proc/%P/stat%Z", pid);

    fd = open((char *) path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    n = read(fd, stat, sizeof(stat));
    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    last = stat + n;

    /* the name may hold spaces and brackets */

    for (p = last - 1; p > stat && *p != ')'; p--) { /* void */ }

    for (spaces = 0; p < last && spaces < NGX_HTTP_TRACK_STAT_START; p++) {
        spaces += (*p == ' ');
    }

    for (start = 0; p < last && *p >= '0' && *p <= '9'; p++) {
        start = start * 10 + (*p - '0');
    }

    return start;
}
