/*
 * clickhouse-embedded: a real ClickHouse server out of libchdb.so, for
 * development and tests.
 *
 *     clickhouse-embedded DIR CONF
 *
 * DIR holds the data, CONF is a server configuration (conf.xml.in beside this
 * file).  libchdb carries ClickHouse's own HTTP and TCP servers, but starts
 * them only from what it runs as `clickhouse local`; so that is what is run,
 * with a last query that reads from a pipe until SIGTERM or SIGINT closes its
 * other end.  The query then ends, and with it the server, in good order.
 *
 * Two threads: main belongs to ClickHouse, the other one waits for signals and
 * touches nothing but the pipe.  No header comes with the library: what is
 * declared here is what it exports.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>


typedef struct chdb_result_s  chdb_result;

extern chdb_result *chdb_query_cmdline(int argc, char **argv);
extern const char *chdb_result_error(chdb_result *result);
extern void chdb_set_signal_handlers_enabled(int enabled);


/* The pipe's write end, and whether its closing was asked for. */
static int          quit_fd;
static atomic_bool  quit_asked;
static sigset_t     quit_signals;


static void *
wait_for_signal(void *arg)
{
    int  signo;

    (void) sigwait(&quit_signals, &signo);
    atomic_store(&quit_asked, 1);
    (void) close(quit_fd);

    return arg;
}


/*
 * The signals are blocked before any thread of ClickHouse exists, so that all
 * inherit it and only the waiting thread ever sees them.  Returns the pipe's
 * read end, or -1 with errno set.
 */
static int
arm_signals(void)
{
    int        fds[2];
    pthread_t  tid;

    (void) sigemptyset(&quit_signals);
    (void) sigaddset(&quit_signals, SIGTERM);
    (void) sigaddset(&quit_signals, SIGINT);
    (void) signal(SIGPIPE, SIG_IGN);

    errno = pthread_sigmask(SIG_BLOCK, &quit_signals, NULL);
    if (errno != 0 || pipe(fds) == -1) {
        return -1;
    }

    quit_fd = fds[1];

    errno = pthread_create(&tid, NULL, wait_for_signal, NULL);

    return errno == 0 ? fds[0] : -1;
}


/* A server with many parts keeps many files open; the soft limit is 1024. */
static void
raise_file_limit(void)
{
    struct rlimit  rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &rl);
    }
}


static const char *
serve(const char *dir, const char *conf, int fd)
{
    char         path[4096], config[4096], query[512];
    char        *argv[] = { "clickhouse", path, config,
                            "--log-level=warning", query, NULL };
    chdb_result *result;

    if ((size_t) snprintf(path, sizeof(path), "--path=%s", dir)
        >= sizeof(path)
        || (size_t) snprintf(config, sizeof(config), "--config-file=%s", conf)
           >= sizeof(config))
    {
        return "a path is longer than 4096 bytes";
    }

    (void) snprintf(query, sizeof(query),
                    "--query=SYSTEM START LISTEN HTTP; "
                    "SYSTEM START LISTEN TCP; SELECT * FROM "
                    "file('/dev/fd/%d', 'LineAsString', 'line String') "
                    "FORMAT Null SETTINGS max_execution_time = 0, "
                    "log_queries = 0", fd);

    chdb_set_signal_handlers_enabled(0);
    result = chdb_query_cmdline(5, argv);

    return result != NULL ? chdb_result_error(result) : NULL;
}


int
main(int argc, char **argv)
{
    int          fd;
    const char  *error;

    if (argc != 3) {
        (void) fprintf(stderr, "usage: %s DIR CONF\n", argv[0]);
        return 2;
    }

    raise_file_limit();

    fd = arm_signals();
    if (fd == -1) {
        (void) fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        return 1;
    }

    error = serve(argv[1], argv[2], fd);

    if (atomic_load(&quit_asked)) {
        return 0;
    }

    (void) fprintf(stderr, "%s: the server ended by itself: %s\n", argv[0],
                   error != NULL ? error : "see the lines above");

    return 1;
}
