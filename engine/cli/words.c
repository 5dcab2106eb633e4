/* SPDX-License-Identifier: Apache-2.0
 *
 * words.c: the words after a verb that C carries out, through the reader that every command line goes through
 * (base/args.h). --help is every verb's.
 */
#include "cli/verbs.h"
#include <stdio.h>
#include <string.h>

enum { MAX_OPTIONS = 16 };

bool vt_cli_words(const char *verb, const struct vt_arg *options, size_t n, int argc, char **argv, const char **values,
                  const char **words, size_t max_words, size_t *n_words, int *exit_code)
{
    struct vt_arg declared[MAX_OPTIONS + 1];
    bool seen[MAX_OPTIONS + 1] = {false};
    vt_err err;

    if (n > 0)
        memcpy(declared, options, n * sizeof *options);
    declared[n] = (struct vt_arg){.name = "help", .kind = VT_ARG_SWITCH};
    struct vt_args a = {.declared = declared,
                        .n = n + 1,
                        .words = (const char *const *)argv + 1,
                        .n_words = (size_t)argc - 1,
                        .seen = seen};
    for (size_t i = 0; i < n; i++)
        values[i] = NULL;
    *n_words = 0;
    for (;;) {
        int which;
        const char *text;
        vt_status status = vt_args_next(&a, &which, &text, &err);
        if (status == VT_OK && which == (int)n) {
            vt_cli_help(verb);
            *exit_code = VT_EXIT_OK;
            return false;
        }
        if (status == VT_OK && which == VT_ARGS_END)
            return true;
        if (status == VT_OK && which == VT_ARGS_WORD && *n_words == max_words)
            status = vt_fail(&err, VT_EINVAL, "'%.60s' is a word too many; see `vegttt %s --help`", text, verb);
        if (status == VT_OK && which != VT_ARGS_WORD)
            status = vt_arg_choice(&declared[which], text, &err);
        if (status != VT_OK) {
            *exit_code = vt_cli_fail(&err);
            return false;
        }
        if (which == VT_ARGS_WORD)
            words[(*n_words)++] = text;
        else
            values[which] = text;
    }
}
