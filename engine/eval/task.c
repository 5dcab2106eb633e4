/* SPDX-License-Identifier: Apache-2.0
 *
 * task.c: from a JSON document to a checked vt_task. The document may come from anybody's file, so every field is
 * examined here, once: types, C identifiers, counts, roles, size expressions at every scale, distributions. What
 * parses can be laid out, filled, compiled and compared without further questions; whether it is a *sound* task (the
 * baseline within its own bound, null candidates outside it) is the business of `task check`.
 *
 * Fields that do not exist are refused by name: a misspelt "rtoll" must not silently mean 0.
 *
 * The identity of a task is the SHA-256 of its canonical text (keys in byte order), so white space and key order of
 * the source file do not matter and everything else does.
 */
#include "base/alloc.h"
#include "eval/dists.h"
#include "eval/task_parts.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TASK_BYTES = 1 << 20, MAX_NAME = 64, MAX_ALIGN = 4096 };

static const char *const task_keys[] = {"arrays", "atol",  "blind",   "body",       "bytes", "cuda",  "cuda_tuned",
                                        "family", "flops", "helpers", "id",         "k",     "level", "name",
                                        "range",  "rtol",  "scalars", "size_order", "sizes", "title", "torch",
                                        "tuned",  "unit",  "where",   NULL};
/* Of a KernelBench problem file: nothing of it is known before Python has read it. */
static const char *const torch_keys[] = {"family", "id", "level", "name", "title", "torch", NULL};
static const char *const array_keys[] = {"align", "block", "compare", "dist", "dtype", "fan_in", "keep",
                                         "max",   "name",  "range",   "role", "shape", "value",  NULL};
static const char *const unit_keys[] = {"after", "arguments", "before", "cflags", "declaration",
                                        "entry", "head",      "result", "truth",  NULL};
static const char *const unit_truth_names[] = {"text", "spread", NULL};
static const char *const scalar_keys[] = {"name", "type", "value", NULL};
static const char *const role_names[] = {"in", "out", "weight", "state", NULL};
static const char *const dtype_names[] = {"f32", "i32", "i64", "u8", "f64", "i8", "i16", "u16", "u32", "u64", NULL};
static const char *const compare_names[] = {"bound", "exact", "first_index", NULL};
static const char *const keep_names[] = {"all", "upper", "lower", "symmetric", NULL};
/* Words that an argument cannot be called: C's keywords that fit the rule for identifiers, and the types we emit. */
static const char *const reserved[] = {
    "auto",   "break",    "case",     "char",     "const",   "continue", "default",   "do",     "double",
    "else",   "enum",     "extern",   "float",    "for",     "goto",     "if",        "inline", "int",
    "long",   "register", "restrict", "return",   "short",   "signed",   "sizeof",    "static", "struct",
    "switch", "typedef",  "union",    "unsigned", "void",    "volatile", "while",     "class",  "new",
    "delete", "this",     "template", "operator", "private", "public",   "namespace", "bool",   "true",
    "false",  "and",      "or",       "not",      "xor",     "main",     NULL};

static int index_of(const char *const *names, const char *s)
{
    for (int i = 0; s && names[i]; i++)
        if (strcmp(names[i], s) == 0)
            return i;
    return -1;
}

static bool is_identifier(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n >= MAX_NAME || !(isalpha((unsigned char)s[0])) || index_of(reserved, s) >= 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    return strstr(s, "vt_") != s;
}

static vt_status only_keys(const vt_json *o, const char *const *known, const char *what, vt_err *err)
{
    for (const vt_json *c = vt_json_first(o); c; c = vt_json_next(c))
        if (index_of(known, vt_json_key(c)) < 0)
            return vt_fail(err, VT_EFORMAT, "%s has an unknown field \"%.60s\"; see include/vegttt/task.h", what,
                           vt_json_key(c));
    return VT_OK;
}

static vt_status choice(const vt_json *o, const char *key, const char *const *names, int fallback, const char *what,
                        int *out, vt_err *err)
{
    const vt_json *v = vt_json_get(o, key);
    char list[160] = "";
    *out = v ? index_of(names, vt_json_str(v, NULL)) : fallback;
    if (*out >= 0)
        return VT_OK;
    for (size_t i = 0, at = 0; names[i] && at < sizeof list; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
    return vt_fail(err, VT_EFORMAT, "%s needs \"%s\", one of %s", what, key, list);
}

static vt_status optional_str(const vt_json *o, const char *key, const char *what, const char **out, vt_err *err)
{
    const vt_json *v = vt_json_get(o, key);
    if (!v)
        return VT_OK;
    *out = vt_json_str(v, NULL);
    return *out ? VT_OK : vt_fail(err, VT_EFORMAT, "%s: \"%s\" must be a string", what, key);
}

static vt_status optional_num(const vt_json *o, const char *key, double fallback, double *out, vt_err *err)
{
    const vt_json *v = vt_json_get(o, key);
    *out = vt_json_num(v, fallback);
    if ((v && !vt_json_is_number(v)) || !isfinite(*out) || *out < 0)
        return vt_fail(err, VT_EFORMAT, "the task's \"%s\" must be a number that is not negative", key);
    return VT_OK;
}

/* A list of strings into out[]; *n stays 0 when the key is absent. */
static vt_status str_list(const vt_json *o, const char *key, const char *what, const char **out, int max, int *n,
                          vt_err *err)
{
    const vt_json *v = vt_json_get(o, key);
    if (v && (!vt_json_is_array(v) || vt_json_count(v) > (size_t)max))
        return vt_fail(err, VT_EFORMAT, "%s: \"%s\" must be a list of at most %d strings", what, key, max);
    for (const vt_json *c = vt_json_first(v); c; c = vt_json_next(c)) {
        if (!vt_json_is_string(c))
            return vt_fail(err, VT_EFORMAT, "%s: every item of \"%s\" must be a string", what, key);
        out[(*n)++] = vt_json_str(c, "");
    }
    return VT_OK;
}

/* Are both whole numbers of the type? */
static bool integers_fit(enum vt_dtype d, double lo, double hi)
{
    bool is_unsigned = d == VT_U8 || d == VT_U16 || d == VT_U32 || d == VT_U64;
    double span = ldexp(1, 8 * (int)vt_dtype_size(d)), most = is_unsigned ? span - 1 : span / 2 - 1;
    double least = is_unsigned ? 0 : -span / 2;
    return lo == floor(lo) && hi == floor(hi) && lo >= least && hi <= most && lo >= -0x1p53 && hi <= 0x1p53;
}

static vt_status parse_range(const vt_json *o, const char *what, const struct vt_task_array *a,
                             struct vt_array_rules *rules, vt_err *err)
{
    const vt_json *range = vt_json_get(o, "range");
    if (!range)
        return VT_OK;
    const vt_json *first = vt_json_first(range);
    double lo = vt_json_num(first, NAN), hi = first ? vt_json_num(vt_json_next(first), NAN) : NAN;
    if (!vt_role_is_input(a->role) || vt_json_count(range) != 2 || !(lo < hi) || !(fabs(lo) < 1e30) ||
        !(fabs(hi) < 1e30))
        return vt_fail(err, VT_EFORMAT, "%s: \"range\" is a list [lo, hi] of an input, lo below hi, both within 1e30",
                       what);
    if (!vt_dtype_is_float(a->dtype) && !integers_fit(a->dtype, lo, hi))
        return vt_fail(err, VT_EFORMAT, "%s: \"range\" must be two integers that %s can hold, at most 2^53 from 0",
                       what, vt_task_dtype_name(a->dtype));
    rules->has_range = true;
    rules->lo = lo;
    rules->hi = hi;
    return VT_OK;
}

static vt_status parse_align(const vt_json *o, const char *what, enum vt_dtype dtype, struct vt_array_rules *rules,
                             vt_err *err)
{
    const vt_json *v = vt_json_get(o, "align");
    double d = vt_json_num(v, (double)vt_dtype_size(dtype));
    rules->align = d >= 1 && d <= MAX_ALIGN ? (size_t)d : 0;
    if ((v && !vt_json_is_number(v)) || (double)rules->align != d || (rules->align & (rules->align - 1)) ||
        rules->align < vt_dtype_size(dtype))
        return vt_fail(err, VT_EFORMAT, "%s: \"align\" is a power of two from the element's size to %d", what,
                       MAX_ALIGN);
    return VT_OK;
}

static vt_status parse_array(struct vt_task *t, const vt_json *o, vt_err *err)
{
    struct vt_task_array *a = &t->array[t->n_arrays];
    struct vt_array_rules *rules = &t->rules[t->n_arrays];
    char what[MAX_NAME + 16] = "an array";
    int role, dtype, rule, keep;
    if (!vt_json_is_object(o))
        return vt_fail(err, VT_EFORMAT, "the task's \"arrays\" must be a list of objects");
    VT_TRY(vt_json_need_str(o, "name", what, &a->name, err));
    if (!is_identifier(a->name))
        return vt_fail(err, VT_EFORMAT, "array name \"%.60s\" is not a C identifier that can be used", a->name);
    snprintf(what, sizeof what, "array \"%s\"", a->name);
    VT_TRY(only_keys(o, array_keys, what, err));
    VT_TRY(choice(o, "role", role_names, -1, what, &role, err));
    VT_TRY(choice(o, "dtype", dtype_names, VT_F32, what, &dtype, err));
    VT_TRY(choice(o, "keep", keep_names, VT_KEEP_ALL, what, &keep, err));
    bool is_out = role == VT_OUT || role == VT_STATE;
    bool is_float = vt_dtype_is_float((enum vt_dtype)dtype);
    VT_TRY(choice(o, "compare", compare_names, is_out && is_float ? VT_BOUND : VT_EXACT, what, &rule, err));
    if (rule == VT_BOUND && (!is_out || !(is_float || vt_json_get(t->doc, "unit"))))
        return vt_fail(err, VT_EFORMAT, "%s: only f32 and f64 outputs can be compared by bound", what);
    a->role = (enum vt_role)role;
    a->dtype = (enum vt_dtype)dtype;
    a->compare = (enum vt_compare_rule)rule;
    rules->keep = (enum vt_keep)keep;
    VT_TRY(str_list(o, "shape", what, a->shape, VT_TASK_MAX_DIMS, &a->n_dims, err));
    VT_TRY(str_list(o, "dist", what, a->dist, VT_TASK_MAX_DISTS, &a->n_dists, err));
    VT_TRY(optional_str(o, "block", what, &rules->block, err));
    VT_TRY(optional_str(o, "fan_in", what, &rules->fan_in, err));
    VT_TRY(optional_str(o, "max", what, &rules->max, err));
    VT_TRY(parse_range(o, what, a, rules, err));
    rules->value = vt_json_num(vt_json_get(o, "value"), NAN);
    VT_TRY(parse_align(o, what, a->dtype, rules, err));
    if (a->n_dims == 0)
        return vt_fail(err, VT_EFORMAT, "%s needs a \"shape\", a list of 1 to %d size expressions", what,
                       VT_TASK_MAX_DIMS);
    if (vt_role_is_input(a->role) != (a->n_dists > 0))
        return vt_fail(err, VT_EFORMAT, "%s: inputs need a \"dist\" list, outputs have none", what);
    if (keep != VT_KEEP_ALL && (a->n_dims < 2 || dtype != VT_F32))
        return vt_fail(err, VT_EFORMAT, "%s: \"keep\" needs an f32 array of two dimensions or more", what);
    for (int i = 0; i < a->n_dists; i++) {
        if (!vt_dist_find(a->dist[i], a->dtype))
            return vt_fail(err, VT_EFORMAT, "%s: there is no distribution \"%.40s\" for %s", what, a->dist[i],
                           vt_task_dtype_name(a->dtype));
        if ((strcmp(a->dist[i], "labels") == 0 && !rules->max) ||
            (strcmp(a->dist[i], "kaiming") == 0 && !rules->fan_in) ||
            (strcmp(a->dist[i], "value") == 0 && !isfinite(rules->value)))
            return vt_fail(err, VT_EFORMAT,
                           "%s: \"labels\" needs \"max\", \"kaiming\" needs \"fan_in\" and \"value\" needs \"value\"",
                           what);
    }
    t->n_arrays++;
    return VT_OK;
}

static vt_status parse_scalar(struct vt_task *t, const vt_json *o, vt_err *err)
{
    static const char *const types[] = {"f32", "i32", NULL};
    struct vt_task_scalar *s = &t->scalar[t->n_scalars];
    int type;
    VT_TRY(only_keys(o, scalar_keys, "a scalar", err));
    VT_TRY(vt_json_need_str(o, "name", "a scalar", &s->name, err));
    VT_TRY(vt_json_need_num(o, "value", "a scalar", &s->value, err));
    VT_TRY(choice(o, "type", types, 0, "a scalar", &type, err));
    s->is_int = type == 1;
    if (!is_identifier(s->name))
        return vt_fail(err, VT_EFORMAT, "scalar name \"%.60s\" is not a C identifier that can be used", s->name);
    if (!isfinite(s->value) || (s->is_int && (s->value != floor(s->value) || fabs(s->value) > INT32_MAX)))
        return vt_fail(err, VT_EFORMAT, "scalar \"%s\" has a value that its type cannot hold", s->name);
    t->n_scalars++;
    return VT_OK;
}

/* Options of the compiler that say how code is made, none that names files or programs. */
static bool is_code_flag(const char *s)
{
    static const char *const begins[] = {"-O", "-f", "-m", "-D", "-U", "-std=", "-ansi", "-g", "-W", "-w", NULL};
    static const char *const refused[] = {"-fplugin", "-fdump",      "-fprofile", "-fsanitize", "-fauto",   "-fopenmp",
                                          "-flto",    "-Wl,",        "-Wa,",      "-Wp,",       "-W@",      "-wrapper",
                                          "-fuse",    "-fcallgraph", "-fopt",     "-fsave",     "-frandom", NULL};
    bool is_known = strcmp(s, "-fopenmp-simd") == 0;
    for (int i = 0; begins[i] && !is_known; i++)
        is_known = strncmp(s, begins[i], strlen(begins[i])) == 0;
    for (int i = 0; refused[i] && is_known && strcmp(s, "-fopenmp-simd") != 0; i++)
        is_known = strncmp(s, refused[i], strlen(refused[i])) != 0;
    return is_known && strlen(s) < 200;
}

static vt_status parse_unit(struct vt_task *t, const vt_json *o, vt_err *err)
{
    struct vt_task_unit *u = &t->unit;
    int truth;
    if (!o)
        return VT_OK;
    if (!vt_json_is_object(o))
        return vt_fail(err, VT_EFORMAT, "the task's \"unit\" must be an object");
    VT_TRY(only_keys(o, unit_keys, "the unit", err));
    VT_TRY(vt_json_need_str(o, "before", "the unit", &u->before, err));
    VT_TRY(vt_json_need_str(o, "head", "the unit", &u->head, err));
    VT_TRY(vt_json_need_str(o, "after", "the unit", &u->after, err));
    VT_TRY(vt_json_need_str(o, "entry", "the unit", &u->entry, err));
    VT_TRY(vt_json_need_str(o, "arguments", "the unit", &u->arguments, err));
    u->declaration = "";
    VT_TRY(optional_str(o, "declaration", "the unit", &u->declaration, err));
    VT_TRY(optional_str(o, "result", "the unit", &u->result, err));
    VT_TRY(choice(o, "truth", unit_truth_names, VT_UNIT_TEXT, "the unit", &truth, err));
    VT_TRY(str_list(o, "cflags", "the unit", u->flag, VT_UNIT_MAX_FLAGS - 1, &u->n_flags, err));
    for (int i = 0; i < u->n_flags; i++)
        if (!is_code_flag(u->flag[i]))
            return vt_fail(err, VT_EFORMAT, "the unit's cflags: \"%.60s\" is no option that says how code is made",
                           u->flag[i]);
    u->truth = (enum vt_unit_truth)truth;
    t->has_unit = true;
    return VT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names and order of the sizes: "size_order", or the names of the first scale in byte order. */
static vt_status size_names(const vt_json *doc, const vt_json *first, const char **names, int *n, vt_err *err)
{
    VT_TRY(str_list(doc, "size_order", "the task", names, VT_TASK_MAX_SIZES, n, err));
    if (*n == 0) {
        for (const vt_json *c = vt_json_first(first); c && *n < VT_TASK_MAX_SIZES; c = vt_json_next(c))
            names[(*n)++] = vt_json_key(c);
        qsort(names, (size_t)*n, sizeof *names, by_name);
    }
    for (int i = 0; i < *n; i++) {
        if (!is_identifier(names[i]))
            return vt_fail(err, VT_EFORMAT, "size name \"%.60s\" is not a C identifier that can be used", names[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return vt_fail(err, VT_EFORMAT, "size \"%s\" is named twice", names[i]);
    }
    return *n > 0 ? VT_OK : vt_fail(err, VT_EFORMAT, "the task's scales must have at least one size");
}

static vt_status parse_sizes(struct vt_task *t, const vt_json *doc, vt_err *err)
{
    const vt_json *sizes = vt_json_get(doc, "sizes");
    const char *names[VT_TASK_MAX_SIZES];
    int n = 0;
    if (!vt_json_is_object(sizes) || !vt_json_is_object(vt_json_get(sizes, "cpu")) ||
        vt_json_count(sizes) > VT_TASK_MAX_SCALES)
        return vt_fail(err, VT_EFORMAT, "the task needs \"sizes\", at most %d scales of which one is \"cpu\"",
                       VT_TASK_MAX_SCALES);
    VT_TRY(size_names(doc, vt_json_get(sizes, "cpu"), names, &n, err));
    t->n_sizes = (size_t)n;
    for (const vt_json *s = vt_json_first(sizes); s; s = vt_json_next(s)) {
        struct vt_task_scale *scale = &t->scale[t->n_scales++];
        scale->name = vt_json_key(s);
        if (scale->name[0] == VT_SCALE_WRITTEN)
            return vt_fail(err, VT_EFORMAT, "a scale's name cannot begin with '%c'", VT_SCALE_WRITTEN);
        if (!vt_json_is_object(s) || vt_json_count(s) != t->n_sizes)
            return vt_fail(err, VT_EFORMAT, "scale \"%.40s\" must give the %d sizes of the task", scale->name, n);
        for (int i = 0; i < n; i++) {
            const vt_json *v = vt_json_get(s, names[i]);
            double d = vt_json_num(v, 0);
            if (!vt_json_is_number(v) || !(d >= 1) || d > INT32_MAX || d != floor(d))
                return vt_fail(err, VT_EFORMAT,
                               "size \"%s\" of scale \"%.40s\" must be an integer from 1 to 2147483647", names[i],
                               scale->name);
            scale->size[i] = (struct vt_expr_name){names[i], (int64_t)d};
        }
    }
    return VT_OK;
}

/* ---- sizes that are drawn ---- */

static size_t size_index(const struct vt_task *t, const char *name)
{
    for (size_t i = 0; i < t->n_sizes; i++)
        if (strcmp(t->scale[0].size[i].name, name) == 0)
            return i;
    return t->n_sizes;
}

/* Default: from 1 to the largest that any scale has. */
static vt_status parse_size_ranges(struct vt_task *t, const vt_json *doc, vt_err *err)
{
    const vt_json *ranges = vt_json_get(doc, "range");
    for (size_t i = 0; i < t->n_sizes; i++) {
        t->range[i] = (struct vt_task_range){1, 1};
        for (size_t s = 0; s < t->n_scales; s++)
            if (t->scale[s].size[i].value > t->range[i].hi)
                t->range[i].hi = (int32_t)t->scale[s].size[i].value;
    }
    if (ranges && !vt_json_is_object(ranges))
        return vt_fail(err, VT_EFORMAT, "the task's \"range\" is an object of [lo, hi], one for a size");
    for (const vt_json *r = vt_json_first(ranges); r; r = vt_json_next(r)) {
        size_t i = size_index(t, vt_json_key(r));
        const vt_json *first = vt_json_is_array(r) ? vt_json_first(r) : NULL;
        double lo = vt_json_num(first, NAN), hi = first ? vt_json_num(vt_json_next(first), NAN) : NAN;
        if (i == t->n_sizes)
            return vt_fail(err, VT_EFORMAT, "the task's \"range\" names \"%.40s\", which is no size of it",
                           vt_json_key(r));
        const int least = vt_json_get(doc, "unit") ? 0 : 1; /* people call functions with n = 0 */
        if (vt_json_count(r) != 2 || !(lo >= least) || !(hi >= lo) || hi > INT32_MAX || lo != floor(lo) ||
            hi != floor(hi))
            return vt_fail(err, VT_EFORMAT, "the range of size \"%s\" is [lo, hi], integers from %d to 2147483647",
                           vt_json_key(r), least);
        t->range[i] = (struct vt_task_range){(int32_t)lo, (int32_t)hi};
    }
    return VT_OK;
}

static vt_status parse_condition(const char *text, struct vt_task_where *out, vt_err *err)
{
    static const char *const ops[] = {">=", "<=", "==", "!=", ">", "<"};
    const char *at = NULL;
    size_t op = 0;
    for (; op < sizeof ops / sizeof ops[0] && !(at = strstr(text, ops[op])); op++) {
    }
    const char *right = at ? at + strlen(ops[op]) : "";
    if (!at || at - text >= VT_WHERE_SIDE || strlen(right) >= VT_WHERE_SIDE)
        return vt_fail(err, VT_EFORMAT,
                       "the condition \"%.80s\" is not two size expressions of at most %d characters with >=, <=, ==, "
                       "!=, > or < between them",
                       text, VT_WHERE_SIDE - 1);
    snprintf(out->left, sizeof out->left, "%.*s", (int)(at - text), text);
    snprintf(out->right, sizeof out->right, "%s", right);
    out->op = (enum vt_where_op)op;
    return VT_OK;
}

static vt_status parse_where(struct vt_task *t, const vt_json *doc, vt_err *err)
{
    const char *text[VT_TASK_MAX_WHERE];
    int n = 0;
    VT_TRY(str_list(doc, "where", "the task", text, VT_TASK_MAX_WHERE, &n, err));
    for (int i = 0; i < n; i++) {
        struct vt_task_where *w = &t->where[t->n_where];
        int64_t value;
        VT_TRY(parse_condition(text[i], w, err));
        VT_TRY(vt_task_size(t, "cpu", w->left, &value, err));
        VT_TRY(vt_task_size(t, "cpu", w->right, &value, err));
        t->n_where++;
    }
    return VT_OK;
}

/* The sizes that are shown must be among those that may be drawn. */
static vt_status check_shown_sizes(const struct vt_task *t, vt_err *err)
{
    vt_layout l;
    VT_TRY(vt_task_layout(t, "cpu", &l, err));
    for (size_t i = 0; i < t->n_sizes; i++)
        if (l.size[i] < t->range[i].lo || l.size[i] > t->range[i].hi)
            return vt_fail(err, VT_EFORMAT, "size \"%s\" of scale \"cpu\" is outside its own range %d to %d",
                           t->scale[0].size[i].name, t->range[i].lo, t->range[i].hi);
    if (!vt_task_where_holds(t, l.size))
        return vt_fail(err, VT_EFORMAT, "the sizes of scale \"cpu\" do not satisfy the task's own \"where\"");
    return VT_OK;
}

static vt_status distinct_names(const struct vt_task *t, vt_err *err)
{
    const char *names[VT_TASK_MAX_ARRAYS + VT_TASK_MAX_SCALARS + VT_TASK_MAX_SIZES + 1] = {t->name};
    size_t n = 1;
    for (size_t i = 0; i < t->n_arrays; i++)
        names[n++] = t->array[i].name;
    for (size_t i = 0; i < t->n_scalars; i++)
        names[n++] = t->scalar[i].name;
    for (size_t i = 0; i < t->n_sizes; i++)
        names[n++] = t->scale[0].size[i].name;
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return vt_fail(err, VT_EFORMAT, "the name \"%s\" is used twice among the function and its arguments",
                               names[i]);
    return VT_OK;
}

static vt_status parse_lists(struct vt_task *t, const vt_json *doc, vt_err *err)
{
    const vt_json *arrays = vt_json_get(doc, "arrays"), *scalars = vt_json_get(doc, "scalars");
    bool has_out = false;
    if (!vt_json_is_array(arrays) || vt_json_count(arrays) > VT_TASK_MAX_ARRAYS)
        return vt_fail(err, VT_EFORMAT, "the task needs \"arrays\", a list of at most %d arrays", VT_TASK_MAX_ARRAYS);
    for (const vt_json *a = vt_json_first(arrays); a; a = vt_json_next(a)) {
        VT_TRY(parse_array(t, a, err));
        has_out = has_out || vt_role_is_output(t->array[t->n_arrays - 1].role);
    }
    if (!has_out)
        return vt_fail(err, VT_EFORMAT, "the task has no array with role \"out\" or \"state\"");
    if (vt_json_count(scalars) > VT_TASK_MAX_SCALARS)
        return vt_fail(err, VT_EFORMAT, "the task's \"scalars\" must be a list of at most %d scalars",
                       VT_TASK_MAX_SCALARS);
    for (const vt_json *s = vt_json_first(scalars); s; s = vt_json_next(s))
        VT_TRY(parse_scalar(t, s, err));
    return VT_OK;
}

/* One scale, without sizes: the file's own. */
static vt_status be_problem_file(struct vt_task *t, vt_err *err)
{
    t->body = "";
    t->bytes = t->flops = "0";
    t->scale[t->n_scales++].name = "full";
    return only_keys(t->doc, torch_keys, "a problem file's task", err);
}

static vt_status parse_fields(struct vt_task *t, vt_err *err)
{
    const vt_json *doc = t->doc;
    int64_t id, level;
    if (!vt_json_is_object(doc))
        return vt_fail(err, VT_EFORMAT, "a task document must be a JSON object");
    VT_TRY(only_keys(doc, task_keys, "the task", err));
    VT_TRY(vt_json_need_str(doc, "name", "the task", &t->name, err));
    if (!is_identifier(t->name))
        return vt_fail(err, VT_EFORMAT, "task name \"%.60s\" is not a C identifier that can be used", t->name);
    VT_TRY(vt_json_need_int(doc, "id", "the task", &id, err));
    VT_TRY(vt_json_need_int(doc, "level", "the task", &level, err));
    if (id < 0 || id > INT32_MAX || level < 0 || level > 99)
        return vt_fail(err, VT_EFORMAT, "the task's id or level is out of range");
    t->id = (int)id;
    t->level = (int)level;
    t->helpers = "";
    VT_TRY(vt_json_need_str(doc, "title", "the task", &t->title, err));
    VT_TRY(vt_json_need_str(doc, "family", "the task", &t->family, err));
    VT_TRY(optional_str(doc, "torch", "the task", &t->torch, err));
    if (t->torch)
        return be_problem_file(t, err);
    VT_TRY(vt_json_need_str(doc, "body", "the task", &t->body, err));
    VT_TRY(vt_json_need_str(doc, "bytes", "the task", &t->bytes, err));
    VT_TRY(vt_json_need_str(doc, "flops", "the task", &t->flops, err));
    VT_TRY(optional_str(doc, "tuned", "the task", &t->tuned, err));
    VT_TRY(optional_str(doc, "helpers", "the task", &t->helpers, err));
    VT_TRY(optional_str(doc, "cuda", "the task", &t->cuda, err));
    VT_TRY(optional_str(doc, "cuda_tuned", "the task", &t->cuda_tuned, err));
    VT_TRY(optional_num(doc, "rtol", 0, &t->rtol, err));
    VT_TRY(optional_num(doc, "atol", 0, &t->atol, err));
    VT_TRY(optional_num(doc, "k", 8, &t->k, err));
    VT_TRY(parse_unit(t, vt_json_get(doc, "unit"), err));
    VT_TRY(parse_lists(t, doc, err));
    VT_TRY(parse_sizes(t, doc, err));
    VT_TRY(distinct_names(t, err));
    for (size_t i = 0; i < t->n_scales; i++) {
        vt_layout layout;
        VT_TRY(vt_task_layout(t, t->scale[i].name, &layout, err));
    }
    VT_TRY(parse_size_ranges(t, doc, err));
    VT_TRY(parse_where(t, doc, err));
    return check_shown_sizes(t, err);
}

static vt_status make_signature(struct vt_task *t, vt_err *err)
{
    struct vt_buf b;
    const char *comma = "";
    vt_buf_init(&b, 1 << 16);
    if (t->has_unit) {
        vt_buf_puts(&b, t->unit.head);
        vt_status s = vt_buf_check(&b, "the signature", err);
        t->signature = vt_buf_take(&b, NULL);
        vt_buf_free(&b);
        return s;
    }
    vt_buf_printf(&b, "void %s(", t->name);
    for (size_t i = 0; i < t->n_arrays; i++, comma = ", ")
        vt_buf_printf(&b, "%s%s%s *restrict %s", comma, vt_role_is_output(t->array[i].role) ? "" : "const ",
                      vt_dtype_c_name(t->array[i].dtype), t->array[i].name);
    for (size_t i = 0; i < t->n_scalars; i++)
        vt_buf_printf(&b, ", %s %s", t->scalar[i].is_int ? "int" : "float", t->scalar[i].name);
    for (size_t i = 0; i < t->n_sizes; i++)
        vt_buf_printf(&b, ", int %s", t->scale[0].size[i].name);
    vt_buf_putc(&b, ')');
    vt_status s = vt_buf_check(&b, "the signature", err);
    t->signature = vt_buf_take(&b, NULL);
    vt_buf_free(&b);
    return s;
}

static vt_status make_identity(struct vt_task *t, vt_err *err)
{
    struct vt_buf b;
    size_t len = 0;
    vt_buf_init(&b, 2 * MAX_TASK_BYTES);
    vt_status s = vt_json_write(t->doc, true, &b, err);
    if (s == VT_OK)
        s = vt_buf_check(&b, "the task's canonical text", err);
    t->json = vt_buf_take(&b, &len);
    vt_buf_free(&b);
    if (s == VT_OK)
        vt_sha256_of(t->json, len, t->digest);
    return s;
}

vt_status vt_task_parse(const char *json, size_t len, vt_task **out, vt_err *err)
{
    *out = NULL;
    if (len > MAX_TASK_BYTES)
        return vt_fail(err, VT_ELIMIT, "a task document of %zu bytes is larger than %d", len, MAX_TASK_BYTES);
    vt_task *t = vt_alloc(sizeof *t);
    if (!t)
        return vt_fail(err, VT_ENOMEM, "out of memory while reading a task");
    atomic_init(&t->refs, 1);
    vt_status s = vt_json_parse(json, len, "a task document", &t->doc, err);
    if (s == VT_OK)
        s = parse_fields(t, err);
    if (s == VT_OK)
        s = make_signature(t, err);
    if (s == VT_OK)
        s = make_identity(t, err);
    if (s == VT_OK) {
        *out = t;
        return VT_OK;
    }
    if (err && t->name)
        vt_err_context(err, "task %.60s", t->name);
    vt_task_unref(t);
    return s;
}

vt_task *vt_task_ref(vt_task *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void vt_task_unref(vt_task *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    vt_json_free(t->doc);
    free(t->json);
    free(t->signature);
    free(t);
}
