/* SPDX-License-Identifier: Apache-2.0
 *
 * spread.c: a truth for C that is no C++, reads the bits of its floats, or turns floats into integers. The unit is
 * compiled as C, with its own types, and run eight times on the same inputs: as they are; with every float input moved
 * by one unit in its last place up or down at random (numbers that are multiples of 1/2 stay: they are the ends of
 * domains, and what sums of them give is exact); and with the other rounding modes, which move every operation inside,
 * where the inputs cannot reach. What the first run gives is the value; how far the others are from it is how well the
 * function determines its value, and an honest program may be as far again:
 *
 *   floats     bound = 2 · (largest difference of a run) + 4 u |v| + rtol |v| + atol max|v of the row|
 *   integers   equal; compared by bound, twice the largest difference: a pixel that rounds to 7 or to 8 by the last bit
 *              of a float may be either. Eight runs do not find every such pixel (a quotient that is whole is one, and
 *              its error may have the same sign in all of them), so a quarter as many as they found and one more may be
 *              off elsewhere, by no more than the largest difference found. Where no run of any set changes anything,
 *              as in a function of integers alone, nothing may be off
 *
 * Directed rounding adds up where nearest rounding cancels, so in long sums this bound is wider than the rule of
 * truth.c, which is preferred where it can be had; the task and its record say which of the two it is. A function of
 * integers alone has no spread, and its results are exact.
 */
#include "eval/c/spread.h"
#include "base/alloc.h"
#include "eval/task_parts.h"
#include <math.h>
#include <string.h>

/* rint and its like round as the mode says, which is no error of a program: they round to nearest in all runs. Seen
 * after <math.h>, so that its declarations stay what they are. */
static const char before_unit[] = "#include <math.h>\n"
                                  "static inline double vt_even(double x)\n"
                                  "{\n"
                                  "    double a = __builtin_fabs(x), t = __builtin_floor(a), d = a - t;\n"
                                  "    if (d > 0.5 || (d == 0.5 && t - 2 * __builtin_floor(t / 2) != 0))\n"
                                  "        t += 1;\n"
                                  "    return __builtin_copysign(a < 0x1p52 ? t : a, x);\n"
                                  "}\n"
                                  "#define rintf(x) ((float)vt_even((double)(x)))\n"
                                  "#define rint(x) vt_even(x)\n"
                                  "#define nearbyintf(x) ((float)vt_even((double)(x)))\n"
                                  "#define nearbyint(x) vt_even(x)\n"
                                  "#define lrintf(x) ((long)vt_even((double)(x)))\n"
                                  "#define lrint(x) ((long)vt_even(x))\n"
                                  "#define llrintf(x) ((long long)vt_even((double)(x)))\n"
                                  "#define llrint(x) ((long long)vt_even(x))\n"
                                  "#line 1 \"unit.c\"\n";

static const char tools[] =
    "\n#line 1 \"spread.c\"\n"
    "struct vt_spread_header {\n"
    "    long long n_arrays, n_sizes, size[24];\n"
    "    struct { long long dtype, n_elem, bytes, in, out, work; } array[12];\n"
    "};\n"
    "struct vt_spread_result { union { double value; long long exact; } of; double off; };\n"
    "enum { VT_F32, VT_I32, VT_I64, VT_U8, VT_F64, VT_I8, VT_I16, VT_U16, VT_U32, VT_U64 };\n"
    "static void vt_rounding(unsigned mode)\n"
    "{\n"
    "#if defined(__x86_64__)\n"
    "    __builtin_ia32_ldmxcsr(0x1f80u | mode << 13);\n"
    "#elif defined(__aarch64__)\n"
    "    unsigned long long vt_fpcr = (unsigned long long)(mode == 1 ? 2 : mode == 2 ? 1 : mode) << 22;\n"
    "    __asm__ volatile(\"msr fpcr, %0\" : : \"r\"(vt_fpcr));\n"
    "#endif\n"
    "}\n"
    "static unsigned vt_hash(unsigned i, unsigned run)\n"
    "{\n"
    "    unsigned h = i ^ run * 0x9e3779b9u;\n"
    "    h = (h ^ h >> 16) * 0x7feb352du;\n"
    "    h = (h ^ h >> 15) * 0x846ca68bu;\n"
    "    return h ^ h >> 16;\n"
    "}\n"
    "static void vt_nudge(void *at, long long dtype, long long n, unsigned run)\n"
    "{\n"
    "    for (long long i = 0; i < n; i++) {\n"
    "        int step = (int)(vt_hash((unsigned)i, run) % 3) - 1;\n"
    "        if (dtype == VT_F32) {\n"
    "            float v = ((float *)at)[i];\n"
    "            int bits;\n"
    "            if (!(v * v > 1e-60f && v * v < 1e30f) || 2 * v == (float)(long long)(2 * v))\n"
    "                continue;\n"
    "            __builtin_memcpy(&bits, &v, 4);\n"
    "            bits += step;\n"
    "            __builtin_memcpy((char *)at + 4 * i, &bits, 4);\n"
    "        } else {\n"
    "            double v = ((double *)at)[i];\n"
    "            long long bits;\n"
    "            if (!(v * v > 1e-200 && v * v < 1e30) || 2 * v == (double)(long long)(2 * v))\n"
    "                continue;\n"
    "            __builtin_memcpy(&bits, &v, 8);\n"
    "            bits += step;\n"
    "            __builtin_memcpy((char *)at + 8 * i, &bits, 8);\n"
    "        }\n"
    "    }\n"
    "}\n"
    "static void vt_take(const void *at, long long dtype, long long n, struct vt_spread_result *to, int is_first)\n"
    "{\n"
    "    for (long long i = 0; i < n; i++) {\n"
    "        if (dtype == VT_F32 || dtype == VT_F64) {\n"
    "            double v = dtype == VT_F32 ? (double)((const float *)at)[i] : ((const double *)at)[i];\n"
    "            double d = is_first ? 0 : __builtin_fabs(v - to[i].of.value);\n"
    "            if (is_first)\n"
    "                to[i].of.value = v;\n"
    "            to[i].off = is_first || d > to[i].off ? d : to[i].off;\n"
    "            continue;\n"
    "        }\n"
    "        long long v = dtype == VT_U8    ? ((const unsigned char *)at)[i]\n"
    "                      : dtype == VT_I8  ? ((const signed char *)at)[i]\n"
    "                      : dtype == VT_I16 ? ((const short *)at)[i]\n"
    "                      : dtype == VT_U16 ? ((const unsigned short *)at)[i]\n"
    "                      : dtype == VT_I32 ? ((const int *)at)[i]\n"
    "                      : dtype == VT_U32 ? (long long)((const unsigned *)at)[i]\n"
    "                                        : ((const long long *)at)[i];\n"
    "        double d = is_first || v == to[i].of.exact ? 0 : __builtin_fabs((double)v - (double)to[i].of.exact);\n"
    "        if (is_first)\n"
    "            to[i].of.exact = v;\n"
    "        to[i].off = is_first || d > to[i].off ? d : to[i].off;\n"
    "    }\n"
    "}\n";

static const char driver[] =
    "__attribute__((visibility(\"default\"))) void vt_truth(const char *in, char *out)\n"
    "{\n"
    "    const struct vt_spread_header *h = (const struct vt_spread_header *)in;\n"
    "    static const unsigned char mode[8] = {0, 2, 1, 3, 0, 0, 0, 2};\n"
    "    static const unsigned char nudged[8] = {0, 0, 0, 0, 1, 1, 1, 1};\n"
    "    void *a[12];\n"
    "    for (unsigned run = 0; run < 8; run++) {\n"
    "        for (int i = 0; i < h->n_arrays; i++) {\n"
    "            a[i] = out + h->array[i].work;\n"
    "            if (h->array[i].in < 0)\n"
    "                __builtin_memset(a[i], 0xff, (unsigned long)h->array[i].bytes);\n"
    "            else\n"
    "                __builtin_memcpy(a[i], in + h->array[i].in, (unsigned long)h->array[i].bytes);\n"
    "            if (h->array[i].in >= 0 && nudged[run] && (h->array[i].dtype == VT_F32 || h->array[i].dtype == "
    "VT_F64))\n"
    "                vt_nudge(a[i], h->array[i].dtype, h->array[i].n_elem, 8 * run + (unsigned)i);\n"
    "        }\n"
    "        vt_rounding(mode[run]);\n"
    "        vt_spread_call(a, h->size);\n"
    "        vt_rounding(0);\n"
    "        for (int i = 0; i < h->n_arrays; i++)\n"
    "            if (h->array[i].out >= 0)\n"
    "                vt_take(a[i], h->array[i].dtype, h->array[i].n_elem,\n"
    "                        (struct vt_spread_result *)(out + h->array[i].out), run == 0);\n"
    "    }\n"
    "}\n";

void vt_spread_source(const vt_task *t, struct vt_buf *out)
{
    const struct vt_task_unit *u = &t->unit;
    vt_buf_puts(out, before_unit);
    vt_buf_printf(out, "%s%s\n{\n%s\n}%s\n%s\n", u->before, u->head, t->body, u->after, u->entry);
    vt_buf_puts(out, "static void vt_spread_call(void **a, const long long *s)\n{\n    (void)s;\n    vt_entry(");
    for (size_t i = 0; i < t->n_arrays; i++)
        vt_buf_printf(out, "%s(%s *)a[%zu]", i ? ", " : "", vt_dtype_c_name(t->array[i].dtype), i);
    for (size_t i = 0; i < t->n_sizes; i++)
        vt_buf_printf(out, ", (int)s[%zu]", i);
    vt_buf_puts(out, ");\n}\n");
    vt_buf_puts(out, tools);
    vt_buf_puts(out, driver);
}

static int64_t reserve(size_t *total, size_t bytes)
{
    size_t at = (*total + 63) / 64 * 64;
    *total = at + bytes;
    return (int64_t)at;
}

void vt_spread_place(const vt_task *t, const vt_layout *l, size_t wide, struct vt_spread_header *h, size_t *in_bytes,
                     size_t *out_bytes)
{
    memset(h, 0, sizeof *h);
    h->n_arrays = (int64_t)t->n_arrays;
    h->n_sizes = (int64_t)t->n_sizes;
    for (size_t i = 0; i < t->n_sizes; i++)
        h->size[i] = l->size[i];
    for (size_t i = 0; i < t->n_arrays; i++) {
        const struct vt_task_array *a = &t->array[i];
        size_t n = (size_t)l->array[i].n_elem, bytes = l->array[i].bytes;
        h->array[i].dtype = (int64_t)a->dtype;
        h->array[i].n_elem = (int64_t)n;
        h->array[i].bytes = (int64_t)bytes;
        h->array[i].in = vt_role_is_input(a->role) ? reserve(in_bytes, bytes) : -1;
        h->array[i].out = vt_role_is_output(a->role) ? reserve(out_bytes, n * sizeof(struct vt_spread_result)) : -1;
        h->array[i].work = reserve(out_bytes, wide > 0 && vt_dtype_is_float(a->dtype) ? n * wide : bytes);
    }
}

static void set_floats(const vt_task *t, const struct vt_spread_result *r, int64_t row, double k,
                       struct vt_expect_array *e)
{
    const double u = e->dtype == VT_F32 ? 0x1p-24 : 0x1p-53;
    const double limit = e->dtype == VT_F32 ? 0x1.ffffffp127 : INFINITY; /* what rounds to infinity */
    for (int64_t base = 0; base < e->n_elem; base += row) {
        double largest = 0;
        for (int64_t i = base; i < base + row; i++)
            if (fabs(r[i].value) < limit)
                largest = fmax(largest, fabs(r[i].value));
        for (int64_t i = base; i < base + row; i++) {
            double v = fabs(r[i].value), off = isfinite(r[i].off) ? r[i].off : 0;
            bool is_large = v >= limit;
            e->value[i] = is_large ? copysign(INFINITY, r[i].value) : r[i].value;
            e->bound[i] = (k > 0 ? k * off : 2 * off + (is_large ? 0 : 4 * u * v)) + t->atol * largest +
                          (is_large ? 0 : t->rtol * v);
            if (e->compare != VT_BOUND)
                e->bound[i] = 0;
        }
    }
}

vt_status vt_spread_collect(const vt_task *t, const struct vt_spread_header *h, size_t i, const unsigned char *out,
                            int64_t row, double k, double *step, struct vt_expect_array *e, vt_err *err)
{
    const struct vt_spread_result *r = (const struct vt_spread_result *)(const void *)(out + h->array[i].out);
    size_t n = (size_t)h->array[i].n_elem;
    bool is_float = vt_dtype_is_float(t->array[i].dtype);
    *e = (struct vt_expect_array){t->array[i].dtype, t->array[i].compare, (int64_t)n, NULL, NULL, NULL, 0, 0};
    if (is_float)
        e->value = vt_alloc_array(n, sizeof *e->value);
    else
        e->exact = vt_alloc_array(n, sizeof *e->exact);
    if (is_float || e->compare == VT_BOUND)
        e->bound = vt_alloc_array(n, sizeof *e->bound);
    if ((is_float && !e->value) || (!is_float && !e->exact) || (!e->bound && (is_float || e->compare == VT_BOUND)))
        return vt_fail(err, VT_ENOMEM, "out of memory for the truth of task %s", t->name);
    if (is_float) {
        set_floats(t, r, row, k, e);
        return VT_OK;
    }
    int64_t n_found = 0;
    for (size_t j = 0; j < n; j++) {
        e->exact[j] = r[j].exact;
        if (e->bound)
            e->bound[j] = 2 * r[j].off;
        n_found += r[j].off > 0;
        *step = fmax(*step, r[j].off);
    }
    e->loose = *step;
    e->n_loose = e->bound && *step > 0 ? 1 + n_found / 4 : 0;
    return VT_OK;
}
