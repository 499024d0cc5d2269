/*
 * Intents as text, and what a new owner makes of what it finds.
 */

#include "tap.h"
#include "trk_intent.h"


static void
round_trip(trk_intent_t intent, const char *want)
{
    char          text[TRK_INTENT_MAX];
    size_t        n;
    trk_intent_t  back;

    n = trk_intent_format(&intent, text);
    is_text(text, n, want, "written: %s", want);

    is_int(trk_intent_parse(trk_str_of(text, n), &back), TRK_OK, "read");
    ok(back.first == intent.first && back.last == intent.last
       && back.at == intent.at && back.token == intent.token
       && back.look == intent.look, "and the same");
}


static void
refuse(const char *text)
{
    trk_intent_t  intent;

    is_int(trk_intent_parse(trk_str_of(text, strlen(text)), &intent),
           TRK_INVALID, "refused: %s", text);
}


static void
texts(void)
{
    char    text[TRK_INTENT_MAX];
    size_t  n;

    round_trip((trk_intent_t) { 5, 9, 1700000000000, 1, 0 },
               "{\"first\":5,\"last\":9,\"at\":1700000000000}");
    round_trip((trk_intent_t) { 0, 0, 0, 2, 1 },
               "{\"first\":0,\"last\":0,\"at\":0,\"token\":2,\"look\":true}");

    n = trk_intent_format(&(trk_intent_t) { INT64_MAX - 1, INT64_MAX - 1,
                          INT64_MAX, INT32_MAX, 1 }, text);
    ok(n > 0 && n <= TRK_INTENT_MAX, "the longest fits: %zu bytes", n);

    refuse("");
    refuse("x");
    refuse("[]");
    refuse("{}");
    refuse("null");
    refuse("{\"first\":1,\"last\":2}");
    refuse("{\"first\":1,\"at\":2}");
    refuse("{\"first\":3,\"last\":2,\"at\":1}");
    refuse("{\"first\":-1,\"last\":2,\"at\":1}");
    refuse("{\"first\":\"1\",\"last\":2,\"at\":1}");
    refuse("{\"first\":1.5,\"last\":2,\"at\":1}");
    refuse("{\"first\":1,\"last\":9223372036854775808,\"at\":1}");
    refuse("{\"first\":1,\"last\":2,\"at\":1,\"token\":0}");
    refuse("{\"first\":1,\"last\":2,\"at\":1,\"look\":false}");
    refuse("{\"first\":1,\"last\":2,\"at\":1,\"more\":1}");
    refuse("{\"first\":1,\"last\":2,\"at\":1}x");
}


/* committed, intent's last (-1: none), landed, low, high */

typedef struct {
    const char  *name;
    int64_t      found[5];
    int          rc;
    int64_t      start;
    int64_t      intent_last;       /* -1: none */
    int64_t      look_to;
    int64_t      lost_to;
} plan_case_t;

static const plan_case_t  plan_cases[] = {
    { "an empty topic, the first time",
      { -1, -1, -1, 0, 0 }, TRK_OK, 0, -1, -1, -1 },
    { "a full topic, the first time",
      { -1, -1, -1, 0, 50 }, TRK_OK, 0, -1, -1, -1 },
    { "the first time, after retention",
      { -1, -1, -1, 7, 50 }, TRK_OK, 7, -1, -1, -1 },
    { "a clean stop",
      { 20, -1, 19, 0, 50 }, TRK_OK, 20, -1, -1, -1 },
    { "a clean stop at the end",
      { 50, -1, 49, 0, 50 }, TRK_OK, 50, -1, -1, -1 },
    { "a clean stop behind dead letters",
      { 20, -1, 15, 0, 50 }, TRK_OK, 20, -1, -1, -1 },
    { "an intent, nothing landed",
      { 20, 29, 19, 0, 50 }, TRK_OK, 20, 29, -1, -1 },
    { "an intent that landed",
      { 20, 29, 29, 0, 50 }, TRK_OK, 20, 29, 29, -1 },
    { "an intent to the end of the log",
      { 20, 49, 49, 0, 50 }, TRK_OK, 20, 49, 49, -1 },
    { "the group was deleted",
      { -1, -1, 39, 0, 50 }, TRK_OK, 0, -1, 39, -1 },
    { "the group was deleted, retention went on",
      { -1, -1, 39, 30, 50 }, TRK_OK, 30, -1, 39, -1 },
    { "the group was deleted, all that landed is gone",
      { -1, -1, 19, 30, 50 }, TRK_OK, 30, -1, -1, -1 },
    { "an operator's reset",
      { 5, -1, 39, 0, 50 }, TRK_OK, 5, -1, 39, -1 },
    { "retention was faster",
      { 5, -1, 4, 10, 50 }, TRK_OK, 10, -1, -1, 9 },
    { "retention was faster than an intent",
      { 5, 14, 4, 10, 50 }, TRK_OK, 10, -1, 14, 9 },
    { "retention was faster than an intent, wholly",
      { 5, 8, 4, 10, 50 }, TRK_OK, 10, -1, -1, 9 },
    { "made anew: rows beyond the end",
      { -1, -1, 39, 0, 10 }, TRK_CORRUPT, 0, 0, 0, 0 },
    { "made anew: just as long as what landed",
      { -1, -1, 39, 0, 39 }, TRK_CORRUPT, 0, 0, 0, 0 },
    { "cut: commit beyond the end",
      { 20, -1, -1, 0, 10 }, TRK_CORRUPT, 0, 0, 0, 0 },
    { "cut: intent beyond the end",
      { 20, 50, 19, 0, 50 }, TRK_CORRUPT, 0, 0, 0, 0 }
};


static void
plans(void)
{
    int                 rc;
    size_t              i;
    trk_plan_t          plan;
    trk_standing_t      s;
    const plan_case_t  *c;

    for (i = 0; i < sizeof(plan_cases) / sizeof(plan_cases[0]); i++) {
        c = &plan_cases[i];
        memset(&s, 0, sizeof(s));

        s.committed = c->found[0];
        s.has_intent = c->found[1] >= 0;
        s.intent = (trk_intent_t) { c->found[0], c->found[1], 1, 1, 0 };
        s.landed = c->found[2];
        s.low = c->found[3];
        s.high = c->found[4];

        rc = trk_plan_make(&plan, &s);
        is_int(rc, c->rc, "%s", c->name);

        if (rc == TRK_OK) {
            is_int(plan.start, c->start, "... begins there");
            is_int(plan.has_intent ? plan.intent.last : -1, c->intent_last,
                   "... intent");
            is_int(plan.look_to, c->look_to, "... looks to");
            is_int(plan.lost_to, c->lost_to, "... lost to");
        }
    }
}


static void
expect_range(const trk_plan_t *plan, int64_t offset, trk_range_mode_t mode,
    int64_t bound, int exact)
{
    trk_range_t  range;

    range = trk_plan_range(plan, offset);

    ok(range.mode == mode && range.bound == bound && range.exact == exact,
       "the range of offset %lld", (long long) offset);
}


static void
ranges(void)
{
    trk_plan_t  plan;

    plan = (trk_plan_t) { .start = 10, .has_intent = 1,
                          .intent = { 10, 19, 1, 1, 0 }, .look_to = 39 };

    expect_range(&plan, 10, TRK_RANGE_RESEND, 19, 1);
    expect_range(&plan, 15, TRK_RANGE_RESEND, 19, 1);
    expect_range(&plan, 20, TRK_RANGE_LOOK, 39, 0);
    expect_range(&plan, 39, TRK_RANGE_LOOK, 39, 0);
    expect_range(&plan, 40, TRK_RANGE_PLAIN, TRK_OFFSET_LAST, 0);

    plan.intent.look = 1;
    expect_range(&plan, 10, TRK_RANGE_LOOK, 19, 1);

    trk_plan_pass(&plan, 19);
    ok(plan.has_intent, "19 of [10, 19] is still ahead");
    trk_plan_pass(&plan, 20);
    ok(!plan.has_intent && plan.look_to == 39, "20: the intent is behind");
    trk_plan_pass(&plan, 40);
    is_int(plan.look_to, TRK_OFFSET_NONE, "40: so are the looks");
}


int
main(void)
{
    texts();
    plans();
    ranges();

    return done();
}
