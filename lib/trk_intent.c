/*
 * Intents and take-over plans: see trk_intent.h.  Pure functions of their
 * arguments; any thread.
 */

#include "trk_intent.h"

#include "trk_json.h"


size_t
trk_intent_format(const trk_intent_t *intent, char *dst)
{
    trk_buf_t  b;
    uint8_t    space[TRK_INTENT_MAX];

    b = (trk_buf_t) { .p = space, .cap = sizeof(space), .max = sizeof(space) };

    trk_buf_lit(&b, "{\"first\":");
    trk_buf_int(&b, intent->first);
    trk_buf_lit(&b, ",\"last\":");
    trk_buf_int(&b, intent->last);
    trk_buf_lit(&b, ",\"at\":");
    trk_buf_int(&b, intent->at);

    if (intent->token > 1) {
        trk_buf_lit(&b, ",\"token\":");
        trk_buf_uint(&b, intent->token);
    }

    if (intent->look) {
        trk_buf_lit(&b, ",\"look\":true");
    }

    trk_buf_byte(&b, '}');

    memcpy(dst, b.p, b.n);

    return b.n;
}


static int
read_number(const trk_json_t *json, uint32_t i, int64_t min, int64_t max,
    int64_t *v)
{
    if (json->nodes[i].type != TRK_JSON_NUMBER) {
        return TRK_INVALID;
    }

    if (trk_number_int64(trk_json_text(json, i), v) != TRK_OK) {
        return TRK_INVALID;
    }

    return (*v < min || *v > max) ? TRK_INVALID : TRK_OK;
}


static int
read_member(const trk_json_t *json, uint32_t i, trk_intent_t *intent)
{
    int        rc;
    int64_t    v;
    trk_str_t  name;

    name = trk_json_raw(json, i);

    if (trk_str_eq(name, trk_str("first"))) {
        return read_number(json, i + 1, 0, INT64_MAX - 1, &intent->first);
    }

    if (trk_str_eq(name, trk_str("last"))) {
        return read_number(json, i + 1, 0, INT64_MAX - 1, &intent->last);
    }

    if (trk_str_eq(name, trk_str("at"))) {
        return read_number(json, i + 1, 0, INT64_MAX, &intent->at);
    }

    if (trk_str_eq(name, trk_str("token"))) {
        rc = read_number(json, i + 1, 1, INT32_MAX, &v);
        intent->token = (rc == TRK_OK) ? (uint32_t) v : 0;
        return rc;
    }

    if (trk_str_eq(name, trk_str("look"))
        && json->nodes[i + 1].type == TRK_JSON_TRUE)
    {
        intent->look = 1;
        return TRK_OK;
    }

    return TRK_INVALID;
}


static int
read_intent(const trk_json_t *json, trk_intent_t *intent)
{
    uint32_t  i;

    if (json->nodes[0].type != TRK_JSON_OBJECT) {
        return TRK_INVALID;
    }

    for (i = 1; i < json->nnodes; i = json->nodes[i + 1].next) {
        if (read_member(json, i, intent) != TRK_OK) {
            return TRK_INVALID;
        }
    }

    if (intent->first < 0 || intent->at < 0 || intent->last < intent->first) {
        return TRK_INVALID;
    }

    return TRK_OK;
}


int
trk_intent_parse(trk_str_t text, trk_intent_t *intent)
{
    int         rc;
    trk_json_t  json;

    *intent = (trk_intent_t) { .first = -1, .last = -1, .at = -1, .token = 1 };

    trk_json_init(&json);

    rc = trk_json_parse(&json, text.p, text.n);
    if (rc == TRK_OK) {
        rc = read_intent(&json, intent);
    }

    trk_json_free(&json);

    return (rc == TRK_OK || rc == TRK_NOMEM) ? rc : TRK_INVALID;
}


/* Retention was faster than the loader: what the log still has is looked at,
 * the intent's rest too, since its blocks can no longer be made again. */

static void
plan_lost(trk_plan_t *plan, const trk_standing_t *standing)
{
    plan->start = standing->low;
    plan->lost_from = standing->committed;
    plan->lost_to = standing->low - 1;

    if (plan->has_intent && plan->intent.last > plan->look_to) {
        plan->look_to = plan->intent.last;
    }

    plan->has_intent = 0;
}


int
trk_plan_make(trk_plan_t *plan, const trk_standing_t *standing)
{
    *plan = (trk_plan_t) {
        .start = standing->committed,
        .has_intent = standing->has_intent,
        .intent = standing->intent,
        .look_to = standing->landed,
        .lost_from = TRK_OFFSET_NONE,
        .lost_to = TRK_OFFSET_NONE
    };

    if (standing->landed >= standing->high
        || standing->committed > standing->high
        || (standing->has_intent && standing->intent.last >= standing->high))
    {
        return TRK_CORRUPT;
    }

    if (standing->committed == TRK_OFFSET_NONE) {
        plan->start = standing->low;
        plan->has_intent = 0;

    } else if (standing->committed < standing->low) {
        plan_lost(plan, standing);
    }

    trk_plan_pass(plan, plan->start);

    return TRK_OK;
}


trk_range_t
trk_plan_range(const trk_plan_t *plan, int64_t offset)
{
    if (plan->has_intent && offset <= plan->intent.last) {
        return (trk_range_t) {
            .mode = plan->intent.look ? TRK_RANGE_LOOK : TRK_RANGE_RESEND,
            .bound = plan->intent.last,
            .exact = 1
        };
    }

    if (offset <= plan->look_to) {
        return (trk_range_t) { TRK_RANGE_LOOK, plan->look_to, 0 };
    }

    return (trk_range_t) { TRK_RANGE_PLAIN, TRK_OFFSET_LAST, 0 };
}


void
trk_plan_pass(trk_plan_t *plan, int64_t offset)
{
    if (plan->has_intent && offset > plan->intent.last) {
        plan->has_intent = 0;
    }

    if (offset > plan->look_to) {
        plan->look_to = TRK_OFFSET_NONE;
    }
}
