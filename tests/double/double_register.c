/* SPDX-License-Identifier: Apache-2.0
 *
 * double_register.c: adds the double to the backends of the program that is linked with this file, before its main. The
 * command line has no other place for a backend of a host's.
 */
#include "double.h"

__attribute__((constructor)) static void add_double(void)
{
    vt_err err;

    (void)!vt_policy_backend_add(&double_backend, &err); /* a spec of it is then refused by name */
}
