/* SPDX-License-Identifier: Apache-2.0
 *
 * csv.h: one table, written as CSV (RFC 4180) or as a Markdown table.
 *
 * A table is a row-major grid of lent cells. CSV numbers are base/json's shortest round-trip form, so a reader gets the
 * same double back; Markdown is for people and rounds to `digits` significant digits (0 = shortest). Missing numbers
 * (NaN) are empty cells in both.
 */
#ifndef VT_STORE_CSV_H
#define VT_STORE_CSV_H

#include "base/buf.h"

enum vt_cell_kind { VT_CELL_EMPTY, VT_CELL_NUMBER, VT_CELL_TEXT };

struct vt_cell {
    enum vt_cell_kind kind;
    double number;
    const char *text;
};

struct vt_table {
    size_t n_columns, n_rows;
    const char *const *columns;  /* [n_columns] headings */
    const struct vt_cell *cells; /* [n_rows][n_columns] */
};

vt_status vt_csv_write(const struct vt_table *t, struct vt_buf *out, vt_err *err) VT_MUST_USE;
vt_status vt_markdown_write(const struct vt_table *t, int digits, struct vt_buf *out, vt_err *err) VT_MUST_USE;

#endif
