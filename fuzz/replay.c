/*
 * A target without libFuzzer: runs each file named (or in a folder named),
 * and a number of mutations of each, the same ones every time.  So a corpus
 * is a test of every build, and every build meets some inputs that nobody
 * thought of.
 *
 *   replay-NAME [-n MUTATIONS] FILE|FOLDER…
 */

#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>


#define REPLAY_MAX   (1 << 20)      /* bytes of a file */
#define REPLAY_PATH  4096


static uint64_t  replay_state;
static unsigned  replay_mutations = 100;
static unsigned  replay_inputs;


/* xorshift64: no clock, no randomness of the system's. */

static uint64_t
replay_random(uint64_t below)
{
    replay_state ^= replay_state << 13;
    replay_state ^= replay_state >> 7;
    replay_state ^= replay_state << 17;

    return replay_state % below;
}


/* One change: a bit, a byte, a piece cut out, doubled, or what JSON is made
 * of written over it.  Returns the new size, at most size + 16. */

static size_t
replay_mutate(uint8_t *p, size_t n)
{
    size_t  at, len;

    static const char *const  words[] = {
        "\"", "\\", "{", "}", "[", "]", ",", ":", "null", "1e9", "-0", "\\u",
        "\xff", "\xf0\x9f\x98\x80", "\n", "0000000000"
    };

    if (n == 0) {
        p[0] = (uint8_t) replay_random(256);
        return 1;
    }

    at = replay_random(n);
    len = 1 + replay_random(n - at < 16 ? n - at : 16);

    switch (replay_random(6)) {

    case 0:
        p[at] ^= (uint8_t) (1 << replay_random(8));
        return n;

    case 1:
        p[at] = (uint8_t) replay_random(256);
        return n;

    case 2:
        memmove(p + at, p + at + len, n - at - len);
        return n - len;

    case 3:
        memmove(p + at + len, p + at, n - at);
        return n + len;

    case 4:
        return at;

    default:
        len = strlen(words[at % 16]);
        memmove(p + at + len, p + at, n - at);
        memcpy(p + at, words[at % 16], len);
        return n + len;
    }
}


static void
replay_bytes(const uint8_t *data, size_t n)
{
    size_t     size;
    unsigned   i, k;
    uint8_t   *p;

    (void) LLVMFuzzerTestOneInput(data, n);
    replay_inputs++;

    replay_state = 0x9e3779b97f4a7c15ULL ^ n;
    p = malloc(n + 64);
    fuzz_must(p != NULL);

    for (i = 0; i < replay_mutations; i++, replay_inputs++) {

        memcpy(p, data, n);
        size = n;

        for (k = 0; k <= i % 3; k++) {
            size = replay_mutate(p, size);
        }

        (void) LLVMFuzzerTestOneInput(p, size);
    }

    free(p);
}


static void
replay_file(const char *path)
{
    FILE     *file;
    size_t    n;
    uint8_t  *p;

    file = fopen(path, "rb");

    if (file == NULL) {
        fprintf(stderr, "cannot open %s: %s\n", path, strerror(errno));
        exit(2);
    }

    p = malloc(REPLAY_MAX);
    fuzz_must(p != NULL);
    n = fread(p, 1, REPLAY_MAX, file);
    (void) fclose(file);

    fprintf(stderr, "%s\n", path);      /* the last one is the culprit */
    replay_bytes(p, n);
    free(p);
}


static void
replay_folder(const char *path)
{
    int              i, n;
    char             name[REPLAY_PATH];
    struct dirent  **entries;

    n = scandir(path, &entries, NULL, alphasort);

    if (n == -1) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        exit(2);
    }

    for (i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            (void) snprintf(name, sizeof(name), "%s/%s", path,
                            entries[i]->d_name);
            replay_file(name);
        }

        free(entries[i]);
    }

    free(entries);
}


int
main(int argc, char **argv)
{
    int          i;
    struct stat  st;

    for (i = 1; i < argc; i++) {

        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            replay_mutations = (unsigned) strtoul(argv[++i], NULL, 10);

        } else if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            replay_folder(argv[i]);

        } else {
            replay_file(argv[i]);
        }
    }

    printf("%u inputs\n", replay_inputs);

    return replay_inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
