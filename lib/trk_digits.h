/*
 * Decimal digits by twos, which halves the divisions.
 */

#ifndef TRK_DIGITS_H
#define TRK_DIGITS_H

#include <string.h>


static const char  trk_digit_pairs[] =
    "0001020304050607080910111213141516171819"
    "2021222324252627282930313233343536373839"
    "4041424344454647484950515253545556575859"
    "6061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";


/* Writes the two digits of v, which is below 100. */
static inline void
trk_digits_two(char *dst, unsigned v)
{
    memcpy(dst, trk_digit_pairs + 2 * (size_t) v, 2);
}


#endif /* TRK_DIGITS_H */
