/*
 * Columns of fields.  See columns.h.
 */

#include "columns.h"

#include <stdlib.h>


static int loader_columns_next(const trk_buf_t *existing, size_t *pos,
    trk_str_t *name, trk_str_t *comment);


void
loader_columns_mark(const trk_buf_t *existing, const loader_snapshot_t *snap,
    uint8_t *there)
{
    size_t     pos;
    int64_t    f;
    trk_str_t  name, comment;

    for (pos = 0; loader_columns_next(existing, &pos, &name, &comment); ) {

        f = loader_snapshot_field(snap, name);
        if (f != -1) {
            there[f] = 1;
        }
    }
}


void
loader_columns_add(trk_buf_t *sql, const loader_field_t *field)
{
    const char  *text;

    if (sql->n == 0) {
        trk_buf_lit(sql, "ALTER TABLE track.events ");

    } else {
        trk_buf_lit(sql, ", ");
    }

    trk_buf_lit(sql, "ADD COLUMN IF NOT EXISTS `f_");
    trk_buf_str(sql, field->name);
    trk_buf_lit(sql, "` ");

    text = trk_native_type_name(loader_column_type(field->data_type));
    trk_buf_add(sql, text, strlen(text));

    trk_buf_lit(sql, " COMMENT '");
    text = trk_data_type_name(field->data_type);
    trk_buf_add(sql, text, strlen(text));
    trk_buf_byte(sql, '\'');
}


int
loader_columns_snapshot(const trk_buf_t *existing, loader_snapshot_t **snap)
{
    int              rc;
    size_t           pos, n;
    trk_buf_t        image;
    trk_str_t        name, comment;
    loader_field_t  *fields;

    /* "f_x\t\n" is the shortest line */

    fields = calloc(existing->n / 5 + 1, sizeof(loader_field_t));
    if (fields == NULL) {
        return TRK_NOMEM;
    }

    for (pos = 0, n = 0;
         loader_columns_next(existing, &pos, &name, &comment); /* void */ )
    {
        fields[n].name = name;

        if (trk_data_type_parse(comment, &fields[n].data_type) == TRK_OK) {
            n++;
        }
    }

    memset(&image, 0, sizeof(image));
    rc = loader_snapshot_create(snap, fields, n, &image);
    free(fields);

    return rc;
}


/* The next line's field, f_ left out; 0 at the end. */

static int
loader_columns_next(const trk_buf_t *existing, size_t *pos, trk_str_t *name,
    trk_str_t *comment)
{
    size_t          left;
    const uint8_t  *p, *tab, *end;

    while (*pos < existing->n) {

        p = existing->p + *pos;
        left = existing->n - *pos;

        end = memchr(p, '\n', left);
        end = end ? end : p + left;
        *pos = (size_t) (end - existing->p) + 1;

        tab = memchr(p, '\t', (size_t) (end - p));
        if (tab == NULL || tab - p < 3) {
            continue;
        }

        *name = trk_str_of(p + 2, (size_t) (tab - p) - 2);
        *comment = trk_str_of(tab + 1, (size_t) (end - tab) - 1);

        if (loader_column_name_ok(*name)) {
            return 1;
        }
    }

    return 0;
}


int
loader_column_name_ok(trk_str_t field)
{
    size_t   i;
    uint8_t  c;

    if (field.n == 0 || field.n > TRK_FIELD_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < field.n; i++) {
        c = field.p[i] | 0x20;

        if (!((c >= 'a' && c <= 'z') || field.p[i] == '_'
              || (i > 0 && field.p[i] >= '0' && field.p[i] <= '9')))
        {
            return 0;
        }
    }

    return 1;
}
