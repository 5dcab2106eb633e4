/* SPDX-License-Identifier: Apache-2.0
 *
 * prototype.c: a candidate that is a whole function is found by its name and called with the task's arguments. One that
 * takes others, doubles, or the output before the input, would compute something all the same, and the verdict would
 * speak of elements never written. So the compiler is asked: the function's type must be one of those that can be
 * called so. Not only the signature's own: a missing `const` does no harm, nor sizes that are long, unsigned or size_t,
 * which are passed like an int that is not negative; but what a `const` array points to is no output.
 */
#include "eval/c/prototype.h"
#include "eval/c/assemble.h"
#include <string.h>

enum { MAX_FREE = 4 /* inputs whose const is tried one by one; of more, all or none */ };

static const char *const size_types[] = {"int", "long", "unsigned", "unsigned long", "long long"};
enum { N_SIZE_TYPES = sizeof size_types / sizeof size_types[0] };

static unsigned count_inputs(const vt_task *t)
{
    unsigned n = 0;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++)
        n += !vt_role_is_output(vt_task_array(t, i)->role);
    return n;
}

/* One type; bit k of is_const is the k-th input's. */
static void put_type(const vt_task *t, unsigned is_const, const char *size, bool is_long, struct vt_buf *out)
{
    const char *comma = "";
    unsigned input = 0;
    vt_buf_puts(out, "void (");
    for (size_t i = 0; i < vt_task_n_arrays(t); i++, comma = ", ") {
        const struct vt_task_array *a = vt_task_array(t, i);
        const char *type = is_long && a->dtype == VT_I64 ? "long" : vt_dtype_c_name(a->dtype);
        bool has_const = !vt_role_is_output(a->role) && (is_const >> input++ & 1);
        vt_buf_printf(out, "%s%s%s *", comma, has_const ? "const " : "", type);
    }
    for (size_t i = 0; i < vt_task_n_scalars(t); i++)
        vt_buf_printf(out, ", %s", vt_task_scalar(t, i)->is_int ? "int" : "float");
    for (size_t i = 0; i < vt_task_n_sizes(t); i++)
        vt_buf_printf(out, ", %s", size);
    vt_buf_putc(out, ')');
}

void vt_prototype_put(const vt_task *t, struct vt_buf *out)
{
    unsigned n = count_inputs(t);
    bool has_i64 = false;
    for (size_t i = 0; i < vt_task_n_arrays(t); i++)
        has_i64 |= vt_task_array(t, i)->dtype == VT_I64;
    vt_buf_puts(out, "\n#line 1 \"" VT_PROTOTYPE_FILE "\"\n_Static_assert(0");
    for (unsigned is_const = 0; is_const < 1u << n; is_const++) {
        if (n > MAX_FREE && is_const != 0 && is_const != (1u << n) - 1)
            continue;
        for (int k = 0; k < N_SIZE_TYPES * (has_i64 ? 2 : 1); k++) {
            vt_buf_printf(out, "\n    || __builtin_types_compatible_p(__typeof__(%s), ", vt_task_name(t));
            put_type(t, is_const, size_types[k % N_SIZE_TYPES], k >= N_SIZE_TYPES, out);
            vt_buf_putc(out, ')');
        }
    }
    vt_buf_printf(out, ",\n    \"" VT_PROTOTYPE_WORDS "%s\");\n", vt_task_signature(t));
}
