/* SPDX-License-Identifier: Apache-2.0
 *
 * task.h: a task is data: one canonical JSON document (a Lua task file is its constructor; bind/ makes the JSON). Its
 * SHA-256 is the task's identity and what crosses processes, queues and this API.
 *
 * Fields, all required unless marked with ?:
 *
 *   id, level     integers
 *   name          "relu", also the C function's name
 *   title         "19_ReLU"
 *   family        "elementwise"
 *   sizes         {"cpu": {"n": 65536, ...}, "hidden"?: {...}, "search"?: {...}, "full"?: {...}}: positive integers,
 *                 the same names in each scale. cpu: the baseline takes 0.03 to 2 ms. hidden: a small ragged shape,
 *                 for checks only, which everybody can read. full: the benchmark's own. search: between cpu and full,
 *                 for the GPU tiers
 *   range?        {"n": [1, 4096]}: verdicts also rest on sizes that are drawn in secret, within these ranges; default:
 *                 from 1 to the largest that any scale has. [64, 64] for a size that cannot vary; a unit's may be 0
 *   where?        ["n % 4 == 0", "h >= k"]: conditions that drawn sizes satisfy: two size expressions with >=, <=, ==,
 *                 !=, > or < between them. Sizes at which a shape has no value need no condition
 *   size_order?   ["n", "m"]: the sizes in the order of the signature; default: byte order of the names
 *   arrays        a list of
 *                   name, role    "in", "out", "weight" or "state"
 *                   dtype         "f32", "f64", "i8" to "i64", "u8" to "u64"
 *                   shape         size expressions: ["n", "m + 1"]
 *                   dist?         of inputs: names of distributions (engine/eval: inputs.c), the benchmark's own first
 *                   compare?      of outputs: "bound", "exact" or "first_index"
 *                   block?        expression: how many neighbouring elements structured inputs treat as one row;
 *                                 default: the last dimension
 *                   fan_in?       expression, for the distribution "kaiming"
 *                   max?          expression: labels lie below it
 *                   range?        [lo, hi], of float inputs: every distribution is mapped into it; of integer ones:
 *                                 the least and the largest value of all but "labels" and "mask"; default: the type's
 *                   value?        of the distribution "value"
 *                   align?        bytes that the array's start is promised to be a multiple of, a power of two;
 *                                 default: the size of an element, and arrays lie at any such address
 *                   keep?         "upper", "lower" or "symmetric": imposed on the last two dimensions
 *   scalars?      a list of {"name", "type": "f32" or "i32", "value": number}
 *   rtol, atol    numbers; 0 for arithmetic
 *   k?            number, default 8. Tasks whose outputs are sums of signed terms say 16: the same sum in another order
 *                 passes through other partial sums, and now and then one column in 10^5 doubles its rounding errors.
 *   body          C text of the baseline, what stands between the braces: what the model sees and must beat
 *   blind?        {"half_inputs": "reason"}: null candidates that no honest bound can tell apart here, and why
 *   tuned?        C text of a tuned reference body
 *   bytes, flops  size expressions: compulsory traffic in bytes, arithmetic operations
 *   helpers?      C text placed before the function, in the prompt too
 *   unit?         a function of somebody's file, which is compiled as it stands there (made by `vegttt optimise`):
 *                   before, after   the file's text around the function
 *                   head            from its declaration to the brace: "static float dot(const float *x, size_t n)";
 *                                   the signature is this text, and a candidate may use other names for its parameters
 *                   declaration?    put before a candidate's whole function ("static float dot(…);")
 *                   entry           C text behind the file that defines vt_entry, which takes arrays and sizes and
 * calls it arguments       of a call by a function with this head: "x, n" result?         the array that holds what the
 * function returns cflags?         compiler options in place of -O3 -march=native -fopenmp-simd truth?          "text":
 * the rule of every task. "spread": the file compiled as C; the bound is what eight runs differ by, with inputs one
 * unit in the last place off and the four rounding modes; integer outputs compared by "bound" may lie between those
 * runs
 *
 * The signature is derived by one rule, void NAME(arrays, scalars, sizes), each in order: `const T *restrict x` for in
 * and weight, `T *restrict y` for out and state, with T float, int, long long or unsigned char; `float s` or `int s`;
 * `int n`.
 * A size expression is a non-negative int64 of + - * / % ( ) min max ceil_div and names of sizes; overflow is an error.
 */
#ifndef VEGTTT_TASK_H
#define VEGTTT_TASK_H

#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt_task vt_task;

/* Parses and checks a task document. Errors name the field. Reference counted; immutable; thread-safe. */
vt_status vt_task_parse(const char *json, size_t len, vt_task **out, vt_err *err) VT_MUST_USE;
vt_task *vt_task_ref(vt_task *t);
void vt_task_unref(vt_task *t);
int vt_task_id(const vt_task *t);
int vt_task_level(const vt_task *t);
const char *vt_task_name(const vt_task *t);
const char *vt_task_title(const vt_task *t);
const char *vt_task_family(const vt_task *t);
const char *vt_task_digest(const vt_task *t); /* hex SHA-256 of the canonical document */
const char *vt_task_json(const vt_task *t);   /* canonical text */
const char *vt_task_body(const vt_task *t);
const char *vt_task_signature(const vt_task *t); /* "void relu(const float *restrict x, float *restrict y, int n)" */
/* Value of a size expression at a scale ("cpu", "search", "full"). */
vt_status vt_task_size(const vt_task *t, const char *scale, const char *expr, int64_t *out, vt_err *err) VT_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
