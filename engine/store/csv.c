/* SPDX-License-Identifier: Apache-2.0
 *
 * csv.c: tables as CSV and Markdown.
 *
 * CSV quotes a field that holds a comma, a quote or a line end and doubles the quotes in it; lines end with CRLF, as
 * RFC 4180 says. Markdown escapes the bar and turns line ends into spaces, because a cell is one line.
 */
#include "store/csv.h"
#include "base/json.h"
#include <math.h>
#include <string.h>

static void csv_text(struct vt_buf *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        vt_buf_puts(out, text);
        return;
    }
    vt_buf_putc(out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            vt_buf_putc(out, '"');
        vt_buf_putc(out, *p);
    }
    vt_buf_putc(out, '"');
}

static void markdown_text(struct vt_buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|')
            vt_buf_putc(out, '\\');
        vt_buf_putc(out, *p == '\n' || *p == '\r' ? ' ' : *p);
    }
}

/* digits 0 = the shortest text that reads back to the same double; whole numbers are never rounded. Infinities, which
 * JSON lacks, are written out. */
static void number(struct vt_buf *out, double v, int digits)
{
    if (isinf(v))
        vt_buf_puts(out, v < 0 ? "-inf" : "inf");
    else if (!isnan(v) && digits > 0 && (v != rint(v) || fabs(v) > 1e15))
        vt_buf_printf(out, "%.*g", digits, v);
    else if (!isnan(v))
        vt_json_write_double(out, v);
}

vt_status vt_csv_write(const struct vt_table *t, struct vt_buf *out, vt_err *err)
{
    for (size_t c = 0; c < t->n_columns; c++) {
        if (c)
            vt_buf_putc(out, ',');
        csv_text(out, t->columns[c]);
    }
    vt_buf_puts(out, "\r\n");
    for (size_t r = 0; r < t->n_rows; r++) {
        for (size_t c = 0; c < t->n_columns; c++) {
            const struct vt_cell *cell = &t->cells[r * t->n_columns + c];
            if (c)
                vt_buf_putc(out, ',');
            if (cell->kind == VT_CELL_TEXT)
                csv_text(out, cell->text);
            else if (cell->kind == VT_CELL_NUMBER)
                number(out, cell->number, 0);
        }
        vt_buf_puts(out, "\r\n");
    }
    return vt_buf_check(out, "a CSV table", err);
}

/* A column is set right when it holds numbers and no text. */
static bool is_numeric(const struct vt_table *t, size_t column)
{
    bool has_number = false;
    for (size_t r = 0; r < t->n_rows; r++) {
        enum vt_cell_kind kind = t->cells[r * t->n_columns + column].kind;
        if (kind == VT_CELL_TEXT)
            return false;
        has_number = has_number || kind == VT_CELL_NUMBER;
    }
    return has_number;
}

vt_status vt_markdown_write(const struct vt_table *t, int digits, struct vt_buf *out, vt_err *err)
{
    vt_buf_putc(out, '|');
    for (size_t c = 0; c < t->n_columns; c++) {
        vt_buf_putc(out, ' ');
        markdown_text(out, t->columns[c]);
        vt_buf_puts(out, " |");
    }
    vt_buf_puts(out, "\n|");
    for (size_t c = 0; c < t->n_columns; c++)
        vt_buf_puts(out, is_numeric(t, c) ? " ---: |" : " --- |");
    vt_buf_putc(out, '\n');
    for (size_t r = 0; r < t->n_rows; r++) {
        vt_buf_putc(out, '|');
        for (size_t c = 0; c < t->n_columns; c++) {
            const struct vt_cell *cell = &t->cells[r * t->n_columns + c];
            vt_buf_putc(out, ' ');
            if (cell->kind == VT_CELL_TEXT)
                markdown_text(out, cell->text);
            else if (cell->kind == VT_CELL_NUMBER)
                number(out, cell->number, digits);
            vt_buf_puts(out, " |");
        }
        vt_buf_putc(out, '\n');
    }
    return vt_buf_check(out, "a Markdown table", err);
}
