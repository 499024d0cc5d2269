/*
 * The batch state machine.  A script is a line of what happens; the machine's
 * answers are compared, step by step, as letters:
 *
 *   I intent  K kill  S send  L look  D dead letters  C commit
 *   F finish  G forget  . nothing
 *
 * Events:  + ok   - failed   # fenced   h hold   t time passes (16 s)
 *          T a minute passes, then as t
 *          l looked: all stands        a looked: all absent, no restart
 *          r looked: all absent, server restarted    p looked: partly absent
 *          b first look of LOOK mode: one block is absent
 *          e first look of LOOK mode: nothing is absent
 */

#include "tap.h"
#include "trk_batch.h"


#define WALL  1700000000000LL


typedef struct {
    const char        *name;
    trk_range_mode_t   mode;
    int                blocks;
    int                dead;
    uint32_t           token;
    const char        *events;
    const char        *want;        /* the first: of begin */
} script_t;

static const script_t  scripts[] = {
    { "plain, one date", TRK_RANGE_PLAIN, 1, 0, 1, "+++", "ISCF" },
    { "plain, three dates", TRK_RANGE_PLAIN, 3, 0, 1, "+++++", "ISSSCF" },
    { "nothing but dead letters", TRK_RANGE_PLAIN, 0, 2, 1, "+++", "IDCF" },
    { "dead letters before the commit", TRK_RANGE_PLAIN, 1, 1, 1, "++++",
      "ISDCF" },
    { "an empty range", TRK_RANGE_PLAIN, 0, 0, 1, "++", "ICF" },

    { "intent retried", TRK_RANGE_PLAIN, 1, 0, 1, "-t-t+++", "I.I.ISCF" },
    { "intent fenced", TRK_RANGE_PLAIN, 1, 0, 1, "#", "IG" },
    { "commit retried", TRK_RANGE_PLAIN, 1, 0, 1, "++-t+", "ISC.CF" },
    { "commit fenced", TRK_RANGE_PLAIN, 1, 0, 1, "++#", "ISCG" },
    { "dead letters retried", TRK_RANGE_PLAIN, 0, 1, 1, "+-t++", "ID.DCF" },
    { "dead letters held", TRK_RANGE_PLAIN, 0, 1, 1, "+ht++", "ID.DCF" },

    { "send held: nothing was sent, so no doubt", TRK_RANGE_PLAIN, 1, 0, 1,
      "+ht++", "IS.SCF" },
    { "send failed: kill, send, look", TRK_RANGE_PLAIN, 1, 0, 1, "+-t++l+",
      "IS.KSLCF" },
    { "kill failed", TRK_RANGE_PLAIN, 1, 0, 1, "+-t-t++l+", "IS.K.KSLCF" },
    { "look failed", TRK_RANGE_PLAIN, 1, 0, 1, "+-t++-tl+", "IS.KSL.LCF" },
    { "second of two dates failed: one look for what is in doubt",
      TRK_RANGE_PLAIN, 2, 0, 1, "++-t++l+", "ISS.KSLCF" },
    { "first of two dates failed", TRK_RANGE_PLAIN, 2, 0, 1, "+-t+++l+",
      "IS.KSSLCF" },
    { "send fails again and again", TRK_RANGE_PLAIN, 1, 0, 1,
      "+-t+-t+-t++l+", "IS.KS.KS.KSLCF" },

    { "slept: the intent is renewed", TRK_RANGE_PLAIN, 1, 0, 1, "+hT+++",
      "IS.ISCF" },
    { "slept, and another owns it now", TRK_RANGE_PLAIN, 1, 0, 1, "+hT#",
      "IS.IG" },
    { "slept between two dates", TRK_RANGE_PLAIN, 2, 0, 1, "++hT+++",
      "ISS.ISCF" },

    { "resend", TRK_RANGE_RESEND, 2, 0, 1, "+++l+", "ISSLCF" },
    { "resend, dead letters after the look", TRK_RANGE_RESEND, 1, 1, 1,
      "++l++", "ISLDCF" },
    { "absent without a restart: the same again, never a new token",
      TRK_RANGE_RESEND, 1, 0, 1, "++at+at+l+", "ISL.SL.SLCF" },
    { "a hole: new intent, new token", TRK_RANGE_RESEND, 1, 0, 1,
      "++r++l+", "ISLISLCF" },
    { "a hole in the second token too", TRK_RANGE_RESEND, 1, 0, 1,
      "++r++r++l+", "ISLISLISLCF" },
    { "fenced between hole and new token", TRK_RANGE_RESEND, 1, 0, 1, "++r#",
      "ISLIG" },
    { "an earlier owner was at its second token", TRK_RANGE_RESEND, 1, 0, 2,
      "++a+l+", "ISLSLCF" },
    { "partly absent: waits, whatever the server did", TRK_RANGE_RESEND, 1,
      0, 1, "++pt+l+", "ISL.SLCF" },

    { "look: all stands", TRK_RANGE_LOOK, 0, 0, 1, "+e+", "ILCF" },
    { "look: some is absent, sent, looked at", TRK_RANGE_LOOK, 0, 0, 1,
      "+b+l+", "ILSLCF" },
    { "look: hole", TRK_RANGE_LOOK, 0, 0, 1, "+b+r++l+", "ILSLISLCF" },
    { "look: the first one fails", TRK_RANGE_LOOK, 0, 0, 1, "+-te+",
      "IL.LCF" },
    { "look: the send fails", TRK_RANGE_LOOK, 0, 0, 1, "+b-t++l+",
      "ILS.KSLCF" },

    { "too early a tick", TRK_RANGE_PLAIN, 1, 0, 1, "tt+++", "I..SCF" },
    { "what comes after the end", TRK_RANGE_PLAIN, 1, 0, 1, "++++-#htl",
      "ISCF......" },
    { "what comes after the loss", TRK_RANGE_PLAIN, 1, 0, 1, "#+-#htl",
      "IG......" }
};


static int64_t  mono;


static trk_batch_do_t
looked(trk_batch_t *b, char how)
{
    size_t   i;
    int64_t  started;

    for (i = 0; i < b->nblocks; i++) {
        b->blocks[i].absent = (how == 'l') ? 0 : (how == 'p') ? 3 : 10;
    }

    started = (how == 'r' || how == 'p') ? b->intent.at : b->intent.at - 1;

    return trk_batch_looked(b, started, b->intent.at + 5000, mono);
}


static trk_batch_do_t
happen(trk_batch_t *b, char event)
{
    switch (event) {

    case '+':
        return trk_batch_step(b, TRK_ON_OK, mono);
    case '-':
        return trk_batch_step(b, TRK_ON_FAILED, mono);
    case '#':
        return trk_batch_step(b, TRK_ON_FENCED, mono);
    case 'h':
        return trk_batch_step(b, TRK_ON_HOLD, mono);

    case 'T':
        mono += TRK_BATCH_INTENT_MS;
        /* fall through */
    case 't':
        mono += 16000;
        return trk_batch_step(b, TRK_ON_TICK, mono);

    case 'b':
        if (trk_batch_add(b, 100, 10) != TRK_OK) {
            return TRK_DO_NOTHING;
        }
        /* fall through */
    case 'e':
        return trk_batch_looked(b, 0, WALL, mono);

    default:
        return looked(b, event);
    }
}


static void
play(const script_t *script)
{
    char                got[64];
    size_t              i, n;
    trk_batch_t         b;
    trk_intent_t        intent;
    static const char   letters[] = ".IKSLDCFG";

    memset(&b, 0, sizeof(b));
    intent = (trk_intent_t) { 100, 199, WALL, script->token, 0 };
    mono = 1000;
    n = 0;

    for (i = 0; i < (size_t) script->blocks; i++) {
        ok(trk_batch_add(&b, 100 + (int32_t) i, 10) == TRK_OK, "added");
    }

    b.ndead = (size_t) script->dead;
    got[n++] = letters[trk_batch_begin(&b, script->mode, &intent, mono)];

    for (i = 0; script->events[i] != '\0'; i++) {
        got[n++] = letters[happen(&b, script->events[i])];
    }

    is_text(got, n, script->want, "%s", script->name);
    trk_batch_reset(&b);
}


/* Any event in any state leaves a state that time and success lead out of. */

static void
every_event_everywhere(void)
{
    char               events[6];
    size_t             i, k, n, code;
    trk_batch_t        b;
    trk_batch_do_t     what;
    const script_t    *s;
    static const char  all[] = "+-#htlarp";

    n = 0;

    for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        s = &scripts[i];

        for (code = 0; code < 9 * 9 * 9; code++) {
            events[0] = all[code % 9];
            events[1] = all[code / 9 % 9];
            events[2] = all[code / 81];

            memset(&b, 0, sizeof(b));
            mono = 1000;
            n += trk_batch_add(&b, 100, 10) != TRK_OK;
            b.ndead = 1;
            what = trk_batch_begin(&b, s->mode, &(trk_intent_t) { 1, 2, WALL,
                                   s->token, 0 }, mono);

            for (k = 0; k < strlen(s->events) && k < 4; k++) {
                what = happen(&b, s->events[k]);
            }

            for (k = 0; k < 3; k++) {
                what = happen(&b, events[k]);
            }

            for (k = 0; k < 40 && b.state != TRK_BATCH_IDLE
                 && b.state != TRK_BATCH_LOST; k++)
            {
                what = happen(&b, b.state == TRK_BATCH_LOOK ? 'l'
                                  : b.state == TRK_BATCH_WAIT ? 't' : '+');
            }

            n += b.state != TRK_BATCH_IDLE && b.state != TRK_BATCH_LOST;
            (void) what;
            trk_batch_reset(&b);
        }
    }

    is_int(n, 0, "every history ends");
}


static void
token_and_intent(void)
{
    trk_batch_t   b;
    trk_intent_t  intent;

    memset(&b, 0, sizeof(b));
    mono = 1000;
    intent = (trk_intent_t) { 100, 199, WALL, 1, 0 };

    ok(trk_batch_add(&b, 100, 10) == TRK_OK
       && trk_batch_add(&b, 101, 10) == TRK_OK, "two dates");

    trk_batch_begin(&b, TRK_RANGE_RESEND, &intent, mono);
    happen(&b, '+');
    happen(&b, '+');
    happen(&b, '+');

    b.blocks[0].absent = 0;
    b.blocks[1].absent = 10;
    is_int(trk_batch_looked(&b, WALL, WALL + 7000, mono), TRK_DO_INTENT,
           "a hole in the second date");
    ok(b.blocks[0].done && b.blocks[0].token == 1, "the first one is done");
    is_int(b.blocks[1].token, 2, "the second takes its next token");
    is_int(b.intent.token, 2, "which the new intent names");
    is_int(b.intent.at, WALL + 7000, "with the time from which on a restart "
           "counts");
    is_int(happen(&b, '+'), TRK_DO_SEND, "sent after it");
    is_int(b.current, 1, "and only the second");

    trk_batch_reset(&b);

    trk_batch_begin(&b, TRK_RANGE_LOOK, &intent, mono);
    ok(b.intent.look, "what follows a look says so in its intent");
    trk_batch_reset(&b);
}


static void
backoff(void)
{
    int           k, bad;
    int64_t       wait, longest;
    trk_batch_t   b;
    trk_intent_t  intent;

    memset(&b, 0, sizeof(b));
    mono = 0;
    bad = 0;
    longest = 0;
    intent = (trk_intent_t) { 1, 2, WALL, 1, 0 };
    trk_batch_begin(&b, TRK_RANGE_PLAIN, &intent, mono);

    for (k = 0; k < 100; k++) {
        happen(&b, '-');
        wait = b.wake - mono;
        longest = wait > longest ? wait : longest;
        bad += wait < TRK_BATCH_BACKOFF_MS / 2 || wait > TRK_BATCH_BACKOFF_MAX;
        ok(k > 0 || wait <= TRK_BATCH_BACKOFF_MS, "soon at first");
        mono = b.wake;
        bad += trk_batch_step(&b, TRK_ON_TICK, mono - 1) != TRK_DO_NOTHING;
        bad += trk_batch_step(&b, TRK_ON_TICK, mono) != TRK_DO_INTENT;
    }

    is_int(bad, 0, "every wait is within its bounds");
    ok(longest > TRK_BATCH_BACKOFF_MAX / 2, "and they grow");
    trk_batch_reset(&b);
}


static void
limits(void)
{
    trk_batch_limits_t  l;

    l = (trk_batch_limits_t) { .rows = 10, .bytes = 1000, .age = 500 };

    ok(!trk_batch_full(&l, 9, 999, 31), "not full");
    ok(trk_batch_full(&l, 10, 0, 0), "rows");
    ok(trk_batch_full(&l, 1, 1000, 0), "bytes");
    ok(trk_batch_full(&l, 1, 1, TRK_BATCH_DATES), "dates");
    ok(!trk_batch_ripe(&l, 1, 499) && trk_batch_ripe(&l, 4, 500), "age");
    ok(!trk_batch_ripe(&l, 8, 999) && trk_batch_ripe(&l, 8, 1000),
       "twice the dates, twice the age");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
        play(&scripts[i]);
    }

    every_event_everywhere();
    token_and_intent();
    backoff();
    limits();

    return done();
}
