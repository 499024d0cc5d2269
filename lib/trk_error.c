/*
 * Look-ups in the table of error codes.  See trk_error.h.
 */

#include "trk_error.h"


typedef struct {
    const char  *name;
    const char  *text;
    int          status;
} trk_error_row_t;


static const trk_error_row_t  trk_error_rows[TRK_ERR_COUNT] = {
    [TRK_ERR_NONE] = { "", "", 0 },
#define TRK_ERROR_ROW(symbol, code, http, sentence)                           \
    [TRK_ERR_##symbol] = { code, sentence, http },
    TRK_ERRORS(TRK_ERROR_ROW)
#undef TRK_ERROR_ROW
};


const char *
trk_error_name(trk_error_code_t code)
{
    return trk_error_rows[code].name;
}


int
trk_error_status(trk_error_code_t code)
{
    return trk_error_rows[code].status;
}


const char *
trk_error_text(trk_error_code_t code)
{
    return trk_error_rows[code].text;
}
