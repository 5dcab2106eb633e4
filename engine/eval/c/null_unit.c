/* SPDX-License-Identifier: Apache-2.0
 *
 * null_unit.c: the null candidates of a user's function (null.c says what they are for). The function has a prototype
 * of its own and may return something, write through several pointers, or know integers only, so a null candidate is
 * a whole function with the user's head; where it wants the right answer first, it calls the original, which stands
 * before it under another name, with the user's own arguments. Arrays that the head does not name, such as globals,
 * and the returned value are left as the original makes them, but for the constants.
 *
 *   constants      zeros, ones, same (every element what the first is)
 *   copies         copy_X: outputs are input X, repeated as needed
 *   poor inputs    ignore_X (X replaced by its first element), and of all inputs: sampled (every eighth element, held),
 *                  skip_rows (the last quarter of all rows replaced by the first), skip_last_input (0 at the end of
 *                  each row), coarse (floats cut to 11 bits, integers to even numbers), abs_inputs (without the sign)
 *   poor outputs   skip_last, skip_tile, shift, one_row, half_outputs (floats cut to 11 bits), off_by_one (integers)
 *
 * The text is C of 1989, for a file that is compiled as that.
 *
 * Circle: null.c hands the tasks of units to this file, which makes the list that null.h describes.
 */
#include "base/alloc.h"
#include "eval/c/null.h"
#include "eval/task_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NULLS = 48, MAX_BODY = 2 << 20, TAIL = 16 };

struct maker {
    const vt_task *t;
    const vt_layout *l;
    struct vt_null *list;
    size_t n;
    vt_status status;
    vt_err *err;
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Is it one of the function's own parameters? */
static bool is_parameter(const struct maker *m, size_t i)
{
    const char *name = m->t->array[i].name, *list = m->t->unit.arguments;
    size_t n = strlen(name);
    for (const char *p = strstr(list, name); p; p = strstr(p + 1, name))
        if ((p == list || !is_word(p[-1])) && !is_word(p[n]))
            return true;
    return false;
}

static bool is_input(const struct maker *m, size_t i)
{
    return m->t->array[i].role == VT_IN && is_parameter(m, i);
}

static bool is_output(const struct maker *m, size_t i)
{
    return vt_role_is_output(m->t->array[i].role) && is_parameter(m, i);
}

static const char *type_of(const struct maker *m, size_t i)
{
    return vt_dtype_c_name(m->t->array[i].dtype);
}

static void start(const struct maker *m, struct vt_buf *b)
{
    const struct vt_task_unit *u = &m->t->unit;
    vt_buf_init(b, MAX_BODY);
    vt_buf_printf(b, "#define %s vt_original\n%s\n{\n%s\n}\n#undef %s\n%s\n{\n", m->t->name, u->head, m->t->body,
                  m->t->name, u->head);
}

static void finish(struct maker *m, struct vt_buf *b, const char *kind, const char *of)
{
    vt_buf_puts(b, "}\n");
    if (m->status == VT_OK)
        m->status = vt_buf_check(b, "a null candidate", m->err);
    if (m->status == VT_OK && m->n < MAX_NULLS) {
        struct vt_null *x = &m->list[m->n];
        snprintf(x->name, sizeof x->name, "%s%s", kind, of);
        x->body = vt_buf_take(b, NULL);
        m->n += x->body != NULL;
    }
    vt_buf_free(b);
}

/* What the original makes, and at the end what it returns. */
static void begin_call(const struct maker *m, struct vt_buf *b)
{
    const struct vt_task_unit *u = &m->t->unit;
    if (u->result)
        vt_buf_printf(b, "  __typeof__(vt_original(%s)) vt_value = vt_original(%s);\n", u->arguments, u->arguments);
    else
        vt_buf_printf(b, "  vt_original(%s);\n", u->arguments);
}

static void end_call(const struct maker *m, struct vt_buf *b)
{
    if (m->t->unit.result)
        vt_buf_puts(b, "  return vt_value;\n");
}

/* for every element of every output: NAME[vt_i] = expression, and the same is returned. */
static void outputs_from(struct maker *m, const char *kind, const char *of, const char *expression)
{
    struct vt_buf b;
    start(m, &b);
    for (size_t i = 0; i < m->t->n_arrays; i++)
        if (is_output(m, i))
            vt_buf_printf(
                &b, "  { long vt_i; for (vt_i = 0; vt_i < %lld; vt_i++)\n    ((%s *)%s)[vt_i] = (%s)(%s); }\n",
                (long long)m->l->array[i].n_elem, type_of(m, i), m->t->array[i].name, type_of(m, i), expression);
    if (m->t->unit.result)
        vt_buf_printf(&b, "  long vt_i = 0;\n  (void)vt_i;\n  return %s;\n", expression);
    finish(m, &b, kind, of);
}

static void constants_and_copies(struct maker *m)
{
    outputs_from(m, "zeros", "", "0");
    outputs_from(m, "ones", "", "1");
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        char text[160];
        if (!is_input(m, i))
            continue;
        snprintf(text, sizeof text, "((const %s *)%s)[vt_i %% %lld]", type_of(m, i), m->t->array[i].name,
                 (long long)m->l->array[i].n_elem);
        outputs_from(m, "copy_", m->t->array[i].name, text);
    }
}

/* The original on a copy of the inputs (of all, or of one) whose elements `statement` writes: vt_to[vt_i] from
 * vt_from, vt_n long, with rows of vt_row. Float and integer arrays may differ; NULL = that kind stays. */
static void poor_inputs(struct maker *m, const char *kind, const char *of, int only, const char *for_float,
                        const char *for_int)
{
    struct vt_buf b;
    bool any = false;
    start(m, &b);
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        const struct vt_layout_array *l = &m->l->array[i];
        const char *statement = vt_dtype_is_float(m->t->array[i].dtype) ? for_float : for_int;
        if (!is_input(m, i) || !statement || (only >= 0 && i != (size_t)only))
            continue;
        if (strcmp(kind, "skip_rows") == 0 && l->n_elem / l->row < 4)
            continue;
        vt_buf_printf(
            &b,
            "  static %s vt_copy%zu[%lld];\n  {\n    const %s *vt_from = (const void *)%s;\n"
            "    %s *vt_to = vt_copy%zu;\n    const long vt_row = %lld, vt_n = %lld;\n    (void)vt_row;\n"
            "    (void)vt_from;\n    long vt_i;\n    for (vt_i = 0; vt_i < vt_n; vt_i++) {\n      %s\n    }\n  }\n",
            type_of(m, i), i, (long long)l->n_elem, type_of(m, i), m->t->array[i].name, type_of(m, i), i,
            (long long)l->row, (long long)l->n_elem, statement);
        any = true;
    }
    vt_buf_puts(&b, "  {\n");
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        const char *statement = vt_dtype_is_float(m->t->array[i].dtype) ? for_float : for_int;
        const struct vt_layout_array *l = &m->l->array[i];
        if (!is_input(m, i) || !statement || (only >= 0 && i != (size_t)only))
            continue;
        if (strcmp(kind, "skip_rows") == 0 && l->n_elem / l->row < 4)
            continue;
        vt_buf_printf(&b, "  %s = (void *)vt_copy%zu;\n", m->t->array[i].name, i);
    }
    begin_call(m, &b);
    end_call(m, &b);
    vt_buf_puts(&b, "  }\n");
    if (any)
        finish(m, &b, kind, of);
    vt_buf_free(&b);
}

static const char cut_float[] = "union { float f; unsigned u; } vt_v = {(float)vt_from[vt_i]};\n"
                                "      vt_v.u = (vt_v.u + 0xfffu + ((vt_v.u >> 13) & 1u)) & ~0x1fffu;\n"
                                "      vt_to[vt_i] = vt_v.f;";

static void all_poor_inputs(struct maker *m)
{
    static const char held[] = "vt_to[vt_i] = vt_from[vt_i - vt_i % 8];";
    static const char rows[] = "long vt_part = vt_n - vt_n / vt_row / 4 * vt_row;\n"
                               "      vt_to[vt_i] = vt_from[vt_i % vt_part];";
    static const char last[] = "vt_to[vt_i] = vt_i % vt_row == vt_row - 1 ? 0 : vt_from[vt_i];";
    for (size_t i = 0; i < m->t->n_arrays; i++)
        if (is_input(m, i))
            poor_inputs(m, "ignore_", m->t->array[i].name, (int)i, "vt_to[vt_i] = vt_from[0];",
                        "vt_to[vt_i] = vt_from[0];");
    poor_inputs(m, "sampled", "", -1, held, held);
    poor_inputs(m, "skip_rows", "", -1, rows, rows);
    poor_inputs(m, "skip_last_input", "", -1, last, last);
    poor_inputs(m, "coarse", "", -1, cut_float, "vt_to[vt_i] = vt_from[vt_i] & ~1;");
    poor_inputs(m, "abs_inputs", "", -1, "vt_to[vt_i] = vt_from[vt_i] < 0 ? -vt_from[vt_i] : vt_from[vt_i];", NULL);
}

/* The original, then `statement` on every output that has the elements and rows for it: vt_y, vt_n, vt_row, and vt_old,
 * the last elements as the caller left them. */
static void spoil(struct maker *m, const char *kind, int64_t min, int64_t min_rows, const char *for_float,
                  const char *for_int)
{
    struct vt_buf b;
    bool any = false;
    start(m, &b);
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        long long n = m->l->array[i].n_elem;
        if (is_output(m, i))
            vt_buf_printf(&b,
                          "  %s vt_old%zu[%d];\n  __builtin_memcpy(vt_old%zu, (%s *)%s + %lld, %lld * sizeof(%s));\n",
                          type_of(m, i), i, TAIL, i, type_of(m, i), m->t->array[i].name, n < TAIL ? 0 : n - TAIL,
                          n < TAIL ? n : TAIL, type_of(m, i));
    }
    begin_call(m, &b);
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        const struct vt_layout_array *l = &m->l->array[i];
        const char *statement = vt_dtype_is_float(m->t->array[i].dtype) ? for_float : for_int;
        if (!is_output(m, i) || !statement || l->n_elem < min || l->n_elem / l->row < min_rows)
            continue;
        vt_buf_printf(
            &b,
            "  {\n    %s *vt_y = (void *)%s, *vt_old = vt_old%zu;\n    const long vt_n = %lld, vt_row = %lld;\n"
            "    (void)vt_row;\n    (void)vt_old;\n    %s\n  }\n",
            type_of(m, i), m->t->array[i].name, i, (long long)l->n_elem, (long long)l->row, statement);
        any = true;
    }
    end_call(m, &b);
    if (any)
        finish(m, &b, kind, "");
    vt_buf_free(&b);
}

static void poor_outputs(struct maker *m)
{
    static const char last[] = "vt_y[vt_n - 1] = vt_old[vt_n < 16 ? vt_n - 1 : 15];";
    static const char tile[] = "long vt_i; for (vt_i = 0; vt_i < 16; vt_i++) vt_y[vt_n - 16 + vt_i] = vt_old[vt_i];";
    static const char shift[] = "long vt_i; for (vt_i = vt_n - 1; vt_i > 0; vt_i--) vt_y[vt_i] = vt_y[vt_i - 1];";
    static const char row[] = "long vt_i; for (vt_i = vt_row; vt_i < vt_n; vt_i++) vt_y[vt_i] = vt_y[vt_i % vt_row];";
    static const char same[] = "long vt_i; for (vt_i = 1; vt_i < vt_n; vt_i++) vt_y[vt_i] = vt_y[0];";
    spoil(m, "same", 2, 1, same, same);
    spoil(m, "skip_last", 1, 1, last, last);
    spoil(m, "skip_tile", 32, 1, tile, tile);
    spoil(m, "shift", 2, 1, shift, shift);
    spoil(m, "one_row", 2, 2, row, row);
    spoil(m, "half_outputs", 1, 1,
          "long vt_i; for (vt_i = 0; vt_i < vt_n; vt_i++) {\n"
          "      union { float f; unsigned u; } vt_v = {(float)vt_y[vt_i]};\n"
          "      vt_v.u = (vt_v.u + 0xfffu + ((vt_v.u >> 13) & 1u)) & ~0x1fffu;\n      vt_y[vt_i] = vt_v.f;\n    }",
          NULL);
    spoil(m, "off_by_one", 1, 1, NULL, "long vt_i; for (vt_i = 0; vt_i < vt_n; vt_i++) vt_y[vt_i] ^= 1;");
}

vt_status vt_null_unit_list(const vt_task *t, const vt_layout *layout, struct vt_null **out, size_t *n, vt_err *err)
{
    struct maker m = {t, layout, vt_alloc_array(MAX_NULLS, sizeof(struct vt_null)), 0, VT_OK, err};
    *out = NULL;
    *n = 0;
    if (!m.list)
        return vt_fail(err, VT_ENOMEM, "out of memory for the null candidates of task %s", t->name);
    constants_and_copies(&m);
    all_poor_inputs(&m);
    poor_outputs(&m);
    if (m.status != VT_OK) {
        for (size_t i = 0; i < m.n; i++)
            free(m.list[i].body);
        free(m.list);
        return m.status;
    }
    *out = m.list;
    *n = m.n;
    return VT_OK;
}
