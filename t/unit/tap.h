/*
 * TAP for the C unit tests: ok() and friends, done() as main's last line.
 * Each t/unit/test_x.c is a program of its own, built with ASan and UBSan,
 * run by t/00-unit.t.
 */

#ifndef TAP_H
#define TAP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int  tap_count;
static int  tap_failed;


/* One assertion; the rest is a printf format that names it. */
#define ok(cond, ...)                                                         \
    do {                                                                      \
        int  tap_ok = (cond) ? 1 : 0;                                         \
                                                                              \
        tap_failed += !tap_ok;                                                \
        printf("%sok %d - ", tap_ok ? "" : "not ", ++tap_count);              \
        printf(__VA_ARGS__);                                                  \
        printf("\n");                                                         \
                                                                              \
        if (!tap_ok) {                                                        \
            printf("#   %s:%d: %s\n", __FILE__, __LINE__, #cond);             \
        }                                                                     \
    } while (0)

#define is_int(got, want, ...)                                                \
    do {                                                                      \
        long long  tap_got = (long long) (got), tap_want = (long long) (want);\
                                                                              \
        ok(tap_got == tap_want, __VA_ARGS__);                                 \
                                                                              \
        if (tap_got != tap_want) {                                            \
            printf("#   got %lld, wanted %lld\n", tap_got, tap_want);         \
        }                                                                     \
    } while (0)

/* Bytes with a length against a C string. */
#define is_text(p, n, want, ...)                                              \
    do {                                                                      \
        const char *tap_p = (const char *) (p);                               \
        size_t      tap_n = (n);                                              \
        int         tap_eq = tap_n == strlen(want)                            \
                             && memcmp(tap_p ? tap_p : "", want, tap_n) == 0; \
                                                                              \
        ok(tap_eq, __VA_ARGS__);                                              \
                                                                              \
        if (!tap_eq) {                                                        \
            printf("#   got    %.*s\n#   wanted %s\n", (int) tap_n,           \
                   tap_p ? tap_p : "(null)", want);                           \
        }                                                                     \
    } while (0)

/* Whether a literal stands anywhere in n bytes. */
#define has_text(p, n, literal)  memmem(p, n, literal, sizeof(literal) - 1)

#define is_str(s, want, ...)  is_text((s).p, (s).n, want, __VA_ARGS__)


static inline int
done(void)
{
    printf("1..%d\n", tap_count);

    return tap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}


#endif /* TAP_H */
