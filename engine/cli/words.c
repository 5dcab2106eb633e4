/* SPDX-License-Identifier: Apache-2.0
 *
 * words.c: the words after a verb that C carries out, through the reader that every command line goes through
 * (base/args.h). --help is every verb's.
 */
#include "base/nearest.h"
#include "cli/verbs.h"
#include <stdio.h>
#include <string.h>

enum { MAX_OPTIONS = 16, MAX_ACTIONS = 8 };

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

static bool refuse(const vt_err *err, int *exit_code)
{
    *exit_code = vt_cli_fail(err);
    return false;
}

bool vt_cli_action(const char *verb, const struct vt_cli_action *actions, size_t n, const struct vt_arg *options,
                   const char *const *values, size_t n_options, const char *const *words, size_t n_words, size_t *which,
                   int *exit_code)
{
    const char *names[MAX_ACTIONS];
    char hint[VT_HINT_MAX];
    vt_err err;

    for (size_t i = 0; i < n; i++)
        names[i] = actions[i].name;
    for (*which = 0; n_words > 0 && *which < n && strcmp(words[0], names[*which]) != 0;)
        ++*which;
    if (n_words == 0 || (*which < n && n_words - 1 < actions[*which].n_words)) {
        *exit_code = vt_cli_usage(verb);
        return false;
    }
    if (*which == n) {
        vt_hint(words[0], names, n, "", hint, sizeof hint);
        (void)vt_fail(&err, VT_EINVAL, "%s cannot '%.60s'%s; see `vegttt %s --help`", verb, words[0], hint, verb);
        return refuse(&err, exit_code);
    }
    const struct vt_cli_action *a = &actions[*which];
    if (n_words - 1 > a->n_words) {
        (void)vt_fail(&err, VT_EINVAL, "'%.60s' is a word too many; see `vegttt %s --help`", words[a->n_words + 1],
                      verb);
        return refuse(&err, exit_code);
    }
    for (size_t i = 0; i < n_options; i++)
        if (values[i] && !(a->options >> i & 1)) {
            (void)vt_fail(&err, VT_EINVAL, "--%s does not go with `%s %s`; see `vegttt %s --help`", options[i].name,
                          verb, a->name, verb);
            return refuse(&err, exit_code);
        }
    return true;
}
