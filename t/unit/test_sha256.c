/*
 * SHA-256 against the examples of FIPS 180-4 and NIST's vectors, and every
 * length around the ends of blocks against one digest of them all (made with
 * coreutils' sha256sum).
 */

#include "trk_id.h"
#include "trk_sha256.h"

#include "tap.h"


static void
is_digest(trk_str_t s, const char *want, const char *name)
{
    char     hex[2 * TRK_SHA256_LEN];
    uint8_t  digest[TRK_SHA256_LEN];

    trk_sha256(s, digest);
    trk_hex(hex, digest, sizeof(digest));

    is_text(hex, sizeof(hex), want, "%s", name);
}


/* The digest of the digests of 0, 1, ..., 200 bytes "a". */

static void
test_lengths(void)
{
    size_t   i;
    uint8_t  text[200], digests[201 * TRK_SHA256_LEN];

    memset(text, 'a', sizeof(text));

    for (i = 0; i <= sizeof(text); i++) {
        trk_sha256(trk_str_of(text, i), digests + i * TRK_SHA256_LEN);
    }

    is_digest(trk_str_of(digests, sizeof(digests)),
              "1be2d7d291484baf4c78d463a65b40a2"
              "6c255b1946e5205eac8edad606a76fdd",
              "all lengths up to 200");
}


int
main(void)
{
    uint8_t  *million;

    is_digest(trk_null, "e3b0c44298fc1c149afbf4c8996fb924"
              "27ae41e4649b934ca495991b7852b855", "nothing");
    is_digest(trk_str("abc"), "ba7816bf8f01cfea414140de5dae2223"
              "b00361a396177a9cb410ff61f20015ad", "abc");
    is_digest(trk_str("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnop"
                      "nopq"), "248d6a61d20638b8e5c026930c3e6039"
              "a33ce45964ff2167f6ecedd419db06c1", "56 bytes");
    is_digest(trk_str("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijk"
                      "lmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstno"
                      "pqrstu"), "cf5b16a778af8380036ce59e7b049237"
              "0b249b11e8f07a51afac45037afee9d1", "112 bytes");
    is_digest(trk_str("\xbd"), "68325720aabd7c82f30f554b313d0570"
              "c95accbb7dc4b5aae11204c08ffe732b", "one byte");

    million = malloc(1000000);
    memset(million, 'a', 1000000);
    is_digest(trk_str_of(million, 1000000),
              "cdc76e5c9914fb9281a1c7e284d73e67"
              "f1809a48a497200e046d39ccc7112cd0", "a million a");
    free(million);

    test_lengths();

    return done();
}
