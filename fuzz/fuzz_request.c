/*
 * A body on its whole way through lib/: judged, then records, keys, answers
 * and rejected records.  All that comes out is JSON and within its bounds,
 * a record can be read back, and where privacy signals are honoured no
 * identifier is in any of them.
 *
 * The first byte chooses: bits 0-1 what the body is, bit 2 privacy signals,
 * bit 3 small limits.
 */

#include "fuzz.h"
#include "trk_answer.h"
#include "trk_record.h"
#include "trk_reject.h"
#include "trk_request.h"

#include "schema_fixture.h"


static trk_image_t   *fuzz_image;
static trk_request_t  fuzz_req;
static trk_buf_t      fuzz_out;

static trk_origin_t  fuzz_origin = {
    .received_at = 1746266401234,
    .ip = { (const uint8_t *) "192.168.1.0", 11 },
    .user_agent = { (const uint8_t *) "M\"\xff", 3 },
    .schema_version = { (const uint8_t *) "3f2a9c01-42", 11 },
    .edge = { (const uint8_t *) "9f86d081884c7d65", 16 },
    .seq = 7
};


static void fuzz_judged(void);
static void fuzz_accepted(trk_event_t *event);
static void fuzz_rejected(trk_event_t *event);
static void fuzz_no_ids(trk_json_t *json);
static void fuzz_failed(const uint8_t *body, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int           rc;
    uint8_t      *body;
    trk_body_t    type;
    trk_limits_t  limits;

    if (n == 0) {
        return 0;
    }

    if (fuzz_image == NULL) {
        fuzz_image = fixture_image();
        trk_request_init(&fuzz_req);
        trk_buf_init(&fuzz_out, SIZE_MAX);
    }

    type = (trk_body_t) ((data[0] & 3) % 3);
    fuzz_origin.no_ids = (data[0] & 4) != 0;

    memset(&limits, 0, sizeof(limits));
    limits.max_events = data[0] & 8 ? 3 : 500;
    limits.max_event_size = data[0] & 8 ? 100 : 65536;

    body = fuzz_copy(data + 1, n - 1);
    rc = trk_request_judge(&fuzz_req, fuzz_image, &limits, type, body, n - 1);

    if (rc == TRK_OK) {
        fuzz_must(fuzz_req.nevents > 0
                  && fuzz_req.nevents <= limits.max_events);
        fuzz_judged();

    } else {
        fuzz_must(rc == TRK_INVALID);
        fuzz_failed(body, n - 1);
    }

    if (data[0] & 16) {
        trk_request_trim(&fuzz_req);
    }

    free(body);

    return 0;
}


static void
fuzz_judged(void)
{
    size_t        i, rejected;
    trk_event_t  *event;

    rejected = 0;

    for (i = 0; i < fuzz_req.nevents; i++) {
        event = &fuzz_req.events[i];
        fuzz_must(event->nviolations <= TRK_EVENT_MAX_ERRORS);

        if (event->nviolations) {
            rejected++;
            fuzz_rejected(event);

        } else {
            fuzz_accepted(event);
        }
    }

    fuzz_must(rejected == fuzz_req.nrejected);

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_answer_rejected(&fuzz_out, &fuzz_req);
    fuzz_must(fuzz_is_json(fuzz_out.p, fuzz_out.n));
    fuzz_must(fuzz_out.n < TRK_ANSWER_DETAIL_MAX * 2);
}


static void
fuzz_accepted(trk_event_t *event)
{
    int           no_ids;
    trk_record_t  rec;

    if (!event->has_event_id) {
        memset(&event->event_id, 0x77, sizeof(event->event_id));
    }

    no_ids = fuzz_origin.no_ids;

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_record_key(&fuzz_out, &fuzz_req, event, &fuzz_origin);
    fuzz_must(fuzz_out.n > 0 && fuzz_out.n <= TRK_ID_MAX);
    fuzz_must(!no_ids || fuzz_out.n == TRK_UUID_LEN);

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_record_write(&fuzz_out, &fuzz_req, event, &fuzz_origin);

    trk_record_init(&rec);
    fuzz_must(trk_record_read(&rec, fuzz_out.p, fuzz_out.n) == TRK_OK);
    fuzz_must(memcmp(&rec.event_id, &event->event_id, sizeof(trk_uuid_t))
              == 0);
    fuzz_must(rec.seq == 7 && rec.has_timestamp == event->has_timestamp);
    fuzz_must((rec.user_id != 0) == (!no_ids && event->user_id));
    fuzz_must((rec.session_id != 0) == (!no_ids && event->session_id));
    fuzz_must((rec.anonymous_id != 0) == (!no_ids && event->anonymous_id));
    trk_record_free(&rec);
}


static void
fuzz_rejected(trk_event_t *event)
{
    trk_buf_t   buf, text;
    trk_str_t   s;
    uint32_t    value;
    trk_json_t  json;

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_reject_key(&fuzz_out, event);
    fuzz_must(fuzz_out.n == (event->has_event_id ? TRK_UUID_LEN : 0));

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_reject_event(&fuzz_out, &fuzz_req, event, &fuzz_origin);
    fuzz_must(fuzz_out.n < TRK_REJECT_RECORD_MAX + 1024);

    trk_json_init(&json);
    trk_buf_init(&buf, SIZE_MAX);
    trk_buf_init(&text, SIZE_MAX);

    fuzz_must(trk_json_parse(&json, fuzz_out.p, fuzz_out.n) == TRK_OK);
    fuzz_must(trk_json_member(&json, 0, trk_str("errors")) != 0);

    value = trk_json_member(&json, 0, trk_str("event"));

    if (value != 0 && trk_json_member(&json, 0, trk_str("truncated")) == 0) {
        s = trk_json_string(&json, value, &buf);
        trk_buf_str(&text, s);
        fuzz_must(trk_json_parse(&json, text.p, text.n) == TRK_OK);

        if (fuzz_origin.no_ids) {
            fuzz_no_ids(&json);

        } else {
            fuzz_must(trk_str_eq(trk_json_text(&fuzz_req.json, event->node),
                                 trk_str_of(text.p, text.n)));
        }

    } else {
        fuzz_must(trk_json_member(&json, 0, trk_str("size")) != 0);
    }

    trk_buf_free(&text);
    trk_buf_free(&buf);
    trk_json_free(&json);
}


static void
fuzz_no_ids(trk_json_t *json)
{
    fuzz_must(json->nodes[0].type == TRK_JSON_OBJECT);
    fuzz_must(trk_json_member(json, 0, trk_str("user_id")) == 0);
    fuzz_must(trk_json_member(json, 0, trk_str("session_id")) == 0);
    fuzz_must(trk_json_member(json, 0, trk_str("anonymous_id")) == 0);
}


static void
fuzz_failed(const uint8_t *body, size_t n)
{
    int  status;

    status = trk_error_status(fuzz_req.error);
    fuzz_must(status == 400 || status == 413);
    fuzz_must(fuzz_req.offset <= n || fuzz_req.offset == SIZE_MAX);

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_answer_error(&fuzz_out, fuzz_req.error, fuzz_req.offset);
    fuzz_must(fuzz_is_json(fuzz_out.p, fuzz_out.n));

    trk_buf_reset(&fuzz_out, SIZE_MAX);
    trk_reject_body(&fuzz_out, trk_str_of(body, n), n, fuzz_req.error,
                    fuzz_req.offset, &fuzz_origin);
    fuzz_must(fuzz_is_json(fuzz_out.p, fuzz_out.n));
    fuzz_must(fuzz_out.n < TRK_REJECT_RECORD_MAX + 1024);
}
