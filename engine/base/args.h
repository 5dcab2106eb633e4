/* SPDX-License-Identifier: Apache-2.0
 *
 * args.h: the one reader of command lines. What may be said is declared once, as an array of vt_arg (a name, a kind, a
 * range), and read by vt_args_next; C's verbs, the verbs of the Lua half and the parameters of experiments all go
 * through it, so an option looks and fails the same everywhere:
 *
 *   --name value   --name=value   --switch   --no-bool   --bool=false   --   (only words follow)
 *
 * '-' and '_' in a name are one. A value after a space may not begin with "--", so that a forgotten value is noticed.
 * An unknown option is refused with a suggestion, one given twice too unless it `repeats`. Numbers are decimal and
 * finite; what is outside an option's range is refused by name. Every failure is VT_EINVAL with one sentence.
 */
#ifndef VT_BASE_ARGS_H
#define VT_BASE_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

enum vt_arg_kind {
    VT_ARG_TEXT,
    VT_ARG_SWITCH,  /* takes no value */
    VT_ARG_BOOLEAN, /* --x, --no-x, --x=true|false */
    VT_ARG_INTEGER,
    VT_ARG_NUMBER,
    VT_ARG_BYTES /* a whole number with an optional K, M or G */
};

enum vt_range_bits { VT_RANGE_MIN = 1, VT_RANGE_MAX = 2, VT_RANGE_OPEN = 4 /* min itself is outside */ };

struct vt_range {
    unsigned bits; /* of enum vt_range_bits; 0 = any value */
    double min, max;
};

#define VT_AT_LEAST(a)                                                                                                 \
    {                                                                                                                  \
        VT_RANGE_MIN, a, 0                                                                                             \
    }
#define VT_WITHIN(a, b)                                                                                                \
    {                                                                                                                  \
        VT_RANGE_MIN | VT_RANGE_MAX, a, b                                                                              \
    }
#define VT_ABOVE(a)                                                                                                    \
    {                                                                                                                  \
        VT_RANGE_MIN | VT_RANGE_OPEN, a, 0                                                                             \
    }
#define VT_ABOVE_TO(a, b)                                                                                              \
    {                                                                                                                  \
        VT_RANGE_MIN | VT_RANGE_MAX | VT_RANGE_OPEN, a, b                                                              \
    }

struct vt_arg {
    const char *name;
    enum vt_arg_kind kind;
    bool repeats;
    struct vt_range range;
    const char *const *choices; /* NULL-terminated; NULL = any */
};

struct vt_args {
    const struct vt_arg *declared;
    size_t n;
    const char *const *words;
    size_t n_words;
    bool *seen; /* [n], zeroed by the caller */
    size_t at;
    bool has_ended; /* "--" was met */
};

enum { VT_ARGS_END = -1, VT_ARGS_WORD = -2 };

/* The next thing: *which = index of the option (its value in *text; "true" or "false" for a switch and a boolean),
 * VT_ARGS_WORD (a word that is no option, in *text) or VT_ARGS_END. */
vt_status vt_args_next(struct vt_args *a, int *which, const char **text, vt_err *err) VT_MUST_USE;

/* The value of an option's text, its range and choices checked. *out for the kinds that are no text: a double holds
 * what BOOLEAN and NUMBER give, *whole what INTEGER and BYTES give. */
vt_status vt_arg_number(const struct vt_arg *a, const char *text, double *out, vt_err *err) VT_MUST_USE;
vt_status vt_arg_whole(const struct vt_arg *a, const char *text, int64_t *out, vt_err *err) VT_MUST_USE;
vt_status vt_arg_boolean(const struct vt_arg *a, const char *text, bool *out, vt_err *err) VT_MUST_USE;
vt_status vt_arg_choice(const struct vt_arg *a, const char *text, vt_err *err) VT_MUST_USE; /* of any kind */

/* A value that did not come as text; NAME is what the sentence calls it. Not finite is outside every range. */
vt_status vt_range_check(const struct vt_range *r, double v, const char *name, vt_err *err) VT_MUST_USE;

#endif
