/* SPDX-License-Identifier: Apache-2.0
 *
 * null.c: null candidates, the mutation test of the checker. Each is a C body that cheats in one named way; a task is
 * admitted only when every one of them is refused on at least one of its distributions (or named in its `blind` field
 * with the reason why no honest bound can tell). They are made from the task's data alone:
 *
 *   constants       zeros, half, ones: every output the same, inputs unread
 *   copies          copy_X: output = input X, repeated as needed; mean_X: output = mean of input X
 *   poor inputs     the baseline run on worse inputs: half_inputs (10-bit mantissa), round_inputs, abs_inputs,
 *                   ignore_X (X replaced by its mean), sampled (every eighth element, held), three_quarters (the last
 *                   quarter of each row replaced by its start), skip_rows (the last quarter of all rows likewise),
 *                   skip_last_input (the last element of each row read as 0)
 *   lost scalars    drop_S: the baseline with scalar S = 0, which is how an epsilon is forgotten
 *   poor outputs    the baseline, then half_outputs, round_outputs, output_mean, skip_last, skip_tile (last element or
 *                   last 16 not written), shift (off by one), one_row (row 0 repeated)
 *
 * Scratch arrays are static inside the body; every name begins with vt_, which no argument of a task may. A stale
 * output (the previous set's answer) needs no code: the caller compares one set's output with another's truth.
 */
#include "eval/c/null.h"
#include "base/alloc.h"
#include "eval/task_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NULLS = 64, MAX_BODY = 1 << 20 };

struct maker {
    const vt_task *t;
    const vt_layout *l;
    struct vt_null *list;
    size_t n;
    vt_status status;
    vt_err *err;
};

static bool is_input(const struct maker *m, size_t i)
{
    return m->t->array[i].role == VT_IN || m->t->array[i].role == VT_WEIGHT;
}

static bool is_f32_input(const struct maker *m, size_t i)
{
    return is_input(m, i) && m->t->array[i].dtype == VT_F32;
}

static void add(struct maker *m, struct vt_buf *b, const char *kind, const char *of)
{
    if (m->status == VT_OK)
        m->status = vt_buf_check(b, "a null candidate", m->err);
    if (m->status == VT_OK && m->n < MAX_NULLS) {
        struct vt_null *x = &m->list[m->n];
        snprintf(x->name, sizeof x->name, "%s%s", kind, of);
        x->body = vt_buf_take(b, NULL);
        if (x->body)
            m->n++;
    }
    vt_buf_free(b);
}

static void start(struct vt_buf *b)
{
    vt_buf_init(b, MAX_BODY);
}

/* for every element of array i: `statement`, in which vt_i is the element index. */
static void each(struct vt_buf *b, int64_t n, const char *statement)
{
    vt_buf_printf(b, "  for (long vt_i = 0; vt_i < %lld; vt_i++) {\n    %s\n  }\n", (long long)n, statement);
}

static void outputs_from(struct maker *m, struct vt_buf *b, const char *expression)
{
    char text[256];
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        const struct vt_task_array *a = &m->t->array[i];
        if (!vt_role_is_output(a->role))
            continue;
        snprintf(text, sizeof text, "%s[vt_i] = (%s)(%s);", a->name, vt_dtype_c_name(a->dtype), expression);
        each(b, m->l->array[i].n_elem, text);
    }
}

static void constants(struct maker *m)
{
    static const char *const kinds[][2] = {{"zeros", "0"}, {"half", "0.5f"}, {"ones", "1"}};
    for (size_t i = 0; i < 3; i++) {
        struct vt_buf b;
        start(&b);
        outputs_from(m, &b, kinds[i][1]);
        add(m, &b, kinds[i][0], "");
    }
}

static void put_mean(struct vt_buf *b, const char *name, int64_t n)
{
    char text[160];
    vt_buf_puts(b, "  double vt_mean = 0;\n");
    snprintf(text, sizeof text, "vt_mean += (double)%s[vt_i] / %lld.0;", name, (long long)n);
    each(b, n, text);
}

static void copies(struct maker *m)
{
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        struct vt_buf b;
        char text[128];
        const char *name = m->t->array[i].name;
        if (!is_input(m, i))
            continue;
        start(&b);
        snprintf(text, sizeof text, "%s[vt_i %% %lld]", name, (long long)m->l->array[i].n_elem);
        outputs_from(m, &b, text);
        add(m, &b, "copy_", name);
        if (m->t->array[i].dtype != VT_F32)
            continue;
        start(&b);
        put_mean(&b, name, m->l->array[i].n_elem);
        outputs_from(m, &b, "vt_mean");
        add(m, &b, "mean_", name);
    }
}

/* Declares a scratch copy vt_NAME of input i, filled by `statement`, which writes vt_to[vt_i] from vt_from. */
static void put_poor(struct maker *m, struct vt_buf *b, size_t i, const char *statement)
{
    const char *name = m->t->array[i].name, *type = vt_dtype_c_name(m->t->array[i].dtype);
    int64_t n = m->l->array[i].n_elem;
    vt_buf_printf(b, "  static %s vt_%s[%lld];\n  {\n  const %s *vt_from = %s;\n  %s *vt_to = vt_%s;\n", type, name,
                  (long long)n, type, name, type, name);
    vt_buf_printf(b, "  const long vt_row = %lld, vt_n = %lld;\n  (void)vt_row;\n  (void)vt_n;\n",
                  (long long)m->l->array[i].row, (long long)n);
    each(b, n, statement);
    vt_buf_puts(b, "  }\n");
}

/* The baseline with the scratch copy in place of input `only`; ALL means every f32 input, NONE none. */
enum { ALL = -1, NONE = -2 };

static void put_baseline(struct maker *m, struct vt_buf *b, int only)
{
    vt_buf_puts(b, "  {\n");
    for (size_t i = 0; i < m->t->n_arrays; i++)
        if ((only == ALL && is_f32_input(m, i)) || (only >= 0 && i == (size_t)only))
            vt_buf_printf(b, "  const %s *restrict %s = vt_%s;\n", vt_dtype_c_name(m->t->array[i].dtype),
                          m->t->array[i].name, m->t->array[i].name);
    vt_buf_puts(b, m->t->body);
    vt_buf_puts(b, "\n  }\n");
}

static void poor_inputs(struct maker *m)
{
    static const char *const kinds[][2] = {
        {"half_inputs", "union { float f; unsigned u; } vt_v = {vt_from[vt_i]};\n"
                        "    vt_v.u = (vt_v.u + 0xfffu + ((vt_v.u >> 13) & 1u)) & ~0x1fffu;\n"
                        "    vt_to[vt_i] = vt_v.f;"},
        {"round_inputs", "vt_to[vt_i] = rintf(vt_from[vt_i]);"},
        {"abs_inputs", "vt_to[vt_i] = fabsf(vt_from[vt_i]);"},
        {"sampled", "vt_to[vt_i] = vt_from[vt_i - vt_i % 8];"},
        {"three_quarters", "long vt_j = vt_i % vt_row, vt_part = vt_row - vt_row / 4;\n"
                           "    vt_to[vt_i] = vt_from[vt_i - vt_j + vt_j % vt_part];"},
        {"skip_rows", "long vt_part = vt_n - vt_n / vt_row / 4 * vt_row;\n"
                      "    vt_to[vt_i] = vt_from[vt_i % vt_part];"},
        {"skip_last_input", "vt_to[vt_i] = vt_i % vt_row == vt_row - 1 ? 0.0f : vt_from[vt_i];"},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct vt_buf b;
        bool differs = strcmp(kinds[k][0], "skip_rows") != 0;
        start(&b);
        for (size_t i = 0; i < m->t->n_arrays; i++) {
            if (!is_f32_input(m, i))
                continue;
            put_poor(m, &b, i, kinds[k][1]);
            differs = differs || m->l->array[i].n_elem / m->l->array[i].row >= 4;
        }
        put_baseline(m, &b, ALL);
        if (differs)
            add(m, &b, kinds[k][0], "");
        vt_buf_free(&b);
    }
}

static void ignored_inputs(struct maker *m)
{
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        struct vt_buf b;
        if (!is_input(m, i))
            continue;
        start(&b);
        if (m->t->array[i].dtype == VT_F32) {
            put_mean(&b, m->t->array[i].name, m->l->array[i].n_elem);
            put_poor(m, &b, i, "vt_to[vt_i] = (float)vt_mean + 0.0f * vt_from[0];");
        } else {
            put_poor(m, &b, i, "vt_to[vt_i] = vt_from[0];");
        }
        put_baseline(m, &b, (int)i);
        add(m, &b, "ignore_", m->t->array[i].name);
    }
}

static void lost_scalars(struct maker *m)
{
    for (size_t i = 0; i < m->t->n_scalars; i++) {
        struct vt_buf b;
        if (m->t->scalar[i].is_int)
            continue;
        start(&b);
        vt_buf_printf(&b, "  {\n  const float %s = 0.0f;\n", m->t->scalar[i].name);
        vt_buf_puts(&b, m->t->body);
        vt_buf_puts(&b, "\n  }\n");
        add(m, &b, "drop_", m->t->scalar[i].name);
    }
}

enum { TAIL = 16 };

static void put_tail(struct vt_buf *b, const struct vt_task_array *a, const struct vt_layout_array *la)
{
    long long n = la->n_elem < TAIL ? (long long)la->n_elem : TAIL;
    vt_buf_printf(b,
                  "  %s vt_old_%s[%d];\n  for (long vt_i = 0; vt_i < %lld; vt_i++)\n"
                  "    vt_old_%s[vt_i] = %s[%lld + vt_i];\n",
                  vt_dtype_c_name(a->dtype), a->name, TAIL, n, a->name, a->name, (long long)la->n_elem - n);
}

/* The baseline, then `statement` on every output that has at least `min` elements and `min_rows` rows; vt_y is the
 * output, vt_n its length, vt_row its row, vt_old_NAME the last elements as the caller left them (poison). Makes
 * nothing when no output qualifies. */
static void spoil(struct maker *m, const char *kind, int64_t min, int64_t min_rows, const char *statement)
{
    struct vt_buf b;
    bool any = false;
    start(&b);
    for (size_t i = 0; i < m->t->n_arrays; i++)
        if (vt_role_is_output(m->t->array[i].role))
            put_tail(&b, &m->t->array[i], &m->l->array[i]);
    put_baseline(m, &b, NONE);
    for (size_t i = 0; i < m->t->n_arrays; i++) {
        const struct vt_task_array *a = &m->t->array[i];
        const struct vt_layout_array *la = &m->l->array[i];
        if (!vt_role_is_output(a->role) || la->n_elem < min || la->n_elem / la->row < min_rows)
            continue;
        vt_buf_printf(&b,
                      "  {\n  %s *vt_y = %s, *vt_old = vt_old_%s;\n  const long vt_n = %lld, vt_row = %lld;\n"
                      "  (void)vt_row;\n  (void)vt_old;\n  %s\n  }\n",
                      vt_dtype_c_name(a->dtype), a->name, a->name, (long long)la->n_elem, (long long)la->row,
                      statement);
        any = true;
    }
    if (any)
        add(m, &b, kind, "");
    vt_buf_free(&b);
}

static bool has_f32_output(const struct maker *m)
{
    for (size_t i = 0; i < m->t->n_arrays; i++)
        if (vt_role_is_output(m->t->array[i].role) && m->t->array[i].dtype == VT_F32)
            return true;
    return false;
}

static void poor_outputs(struct maker *m)
{
    if (has_f32_output(m)) {
        spoil(m, "half_outputs", 1, 1,
              "for (long vt_i = 0; vt_i < vt_n; vt_i++) {\n"
              "    union { float f; unsigned u; } vt_v = {(float)vt_y[vt_i]};\n"
              "    vt_v.u = (vt_v.u + 0xfffu + ((vt_v.u >> 13) & 1u)) & ~0x1fffu;\n"
              "    vt_y[vt_i] = vt_v.f;\n  }");
        spoil(m, "round_outputs", 1, 1, "for (long vt_i = 0; vt_i < vt_n; vt_i++) vt_y[vt_i] = rintf(vt_y[vt_i]);");
    }
    spoil(m, "output_mean", 2, 1,
          "double vt_mean = 0;\n  for (long vt_i = 0; vt_i < vt_n; vt_i++) vt_mean += (double)vt_y[vt_i] / "
          "(double)vt_n;\n"
          "  for (long vt_i = 0; vt_i < vt_n; vt_i++) vt_y[vt_i] = vt_mean;");
    spoil(m, "skip_last", 1, 1, "vt_y[vt_n - 1] = vt_old[vt_n < 16 ? vt_n - 1 : 15];");
    spoil(m, "skip_tile", 32, 1, "for (long vt_i = 0; vt_i < 16; vt_i++) vt_y[vt_n - 16 + vt_i] = vt_old[vt_i];");
    spoil(m, "shift", 2, 1, "for (long vt_i = vt_n - 1; vt_i > 0; vt_i--) vt_y[vt_i] = vt_y[vt_i - 1];");
    spoil(m, "one_row", 2, 2, "for (long vt_i = vt_row; vt_i < vt_n; vt_i++) vt_y[vt_i] = vt_y[vt_i % vt_row];");
}

vt_status vt_null_list(const vt_task *t, const vt_layout *layout, struct vt_null **out, size_t *n, vt_err *err)
{
    struct maker m = {t, layout, vt_alloc_array(MAX_NULLS, sizeof(struct vt_null)), 0, VT_OK, err};
    *out = NULL;
    *n = 0;
    if (t->has_unit) {
        free(m.list);
        return vt_null_unit_list(t, layout, out, n, err);
    }
    if (!m.list)
        return vt_fail(err, VT_ENOMEM, "out of memory for the null candidates of task %s", t->name);
    constants(&m);
    copies(&m);
    poor_inputs(&m);
    ignored_inputs(&m);
    lost_scalars(&m);
    poor_outputs(&m);
    if (m.status != VT_OK) {
        vt_null_free(m.list, m.n);
        return m.status;
    }
    *out = m.list;
    *n = m.n;
    return VT_OK;
}

void vt_null_free(struct vt_null *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        free(list[i].body);
    free(list);
}
