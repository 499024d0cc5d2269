/*
 * track-loader: Kafka to ClickHouse.  Reads the command line, blocks the
 * signals before the first thread exists, and hands over.
 */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "loader.h"
#include "kafka.h"
#include "migrate.h"


static const char  usage[] =
    "usage: track-loader -c FILE [COMMAND]\n"
    "\n"
    "  run              consume, decode, insert (default)\n"
    "  migrate          bring PostgreSQL, ClickHouse and Kafka's topics up to\n"
    "                   this version\n"
    "  check            read the configuration and say what is wrong with it\n"
    "  check --example  print a configuration file with every key\n"
    "\n"
    "  -c, --config FILE\n"
    "  -h, --help\n";


static int
complain(const char *error)
{
    fprintf(stderr, "track-loader: %s\n", error);

    return 1;
}


static int
misuse(void)
{
    fputs(usage, stderr);

    return 2;
}


static int
check(const loader_conf_t *conf)
{
    char  error[LOADER_ERROR_MAX];

    if (loader_kafka_check(conf, error) != TRK_OK) {
        return complain(error);
    }

    printf("%s is good\n", conf->path);

    return 0;
}


static int
migrate(const loader_conf_t *conf)
{
    char  error[LOADER_ERROR_MAX];

    return loader_migrate(conf, error) == TRK_OK ? 0 : complain(error);
}


static int
command(const char *name, const loader_conf_t *conf)
{
    if (strcmp(name, "run") == 0) {
        return loader_run(conf);
    }

    if (strcmp(name, "migrate") == 0) {
        return migrate(conf);
    }

    if (strcmp(name, "check") == 0) {
        return check(conf);
    }

    return misuse();
}


/* SIGTERM and SIGINT are read by the main loop; a peer that hangs up is an
 * error of write(), not a signal. */

static void
set_signals(void)
{
    sigset_t  set;

    signal(SIGPIPE, SIG_IGN);

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
}


static int
run(const char *path, const char *name)
{
    int             rc;
    char            error[LOADER_ERROR_MAX];
    loader_conf_t  *conf;

    if (loader_conf_load(&conf, path, error) != TRK_OK) {
        return complain(error);
    }

    if (loader_clickhouse_init() != TRK_OK) {
        loader_conf_free(conf);
        return complain("libcurl cannot be initialized: no memory?");
    }

    if (strcmp(name, "run") == 0) {
        set_signals();
    }

    rc = command(name, conf);
    loader_conf_free(conf);

    return rc;
}


int
main(int argc, char **argv)
{
    int                         c, example;
    const char                 *path, *name;
    static const struct option  options[] = {
        { "config", required_argument, NULL, 'c' },
        { "example", no_argument, NULL, 'e' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };

    path = NULL;
    example = 0;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (c) {

        case 'c':
            path = optarg;
            break;

        case 'e':
            example = 1;
            break;

        case 'h':
            fputs(usage, stdout);
            return 0;

        default:
            return misuse();
        }
    }

    name = optind < argc ? argv[optind] : "run";

    if (example && strcmp(name, "check") == 0) {
        loader_conf_example(stdout);
        return 0;
    }

    if (path == NULL || example || optind + 1 < argc) {
        return misuse();
    }

    return run(path, name);
}
