/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: what was asked for: a verb of verbs.h, or an experiment file. Everything that prints, exits or knows about
 * terminals is in this folder.
 */
#include "cli/verbs.h"
#include <stdio.h>
#include <string.h>

struct verb {
    const char *name, *args, *help;
    int (*run)(int argc, char **argv);
};

static const struct verb verbs[] = {
#define X(name, args, help) {#name, args, help, vt_verb_##name},
    VT_VERB_MAP(X)
#undef X
};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

int vt_cli_fail(const vt_err *err)
{
    fprintf(stderr, "vegttt: %s\n", err->msg);
    return vt_exit_code(vt_error_kind(err->code), false);
}

static void usage(FILE *out)
{
    fprintf(out, "vegttt " VEGTTT_VERSION ": sample more, choose better, or adapt the weights?\n\n"
                 "  vegttt FILE.lua [--param value …]   run an experiment (--help lists its parameters)\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  vegttt %-10s %-18s  %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
    fprintf(out, "\nTry: vegttt experiments/boa.lua\n");
}

int vt_cli_usage(const char *verb)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, verb) == 0)
            fprintf(stderr, "vegttt: usage: vegttt %s %s\n", verbs[i].name, verbs[i].args);
    return VT_EXIT_USAGE;
}

/* Letters that differ in place or number, up to 9: enough to guess what was meant. */
static int distance(const char *a, const char *b)
{
    int d = 0;
    for (; *a && *b; a++, b++)
        d += *a != *b;
    return d + (int)strlen(a) + (int)strlen(b);
}

static int unknown(const char *word)
{
    const struct verb *best = NULL;
    int best_distance = 3;
    for (size_t i = 0; i < N_VERBS; i++) {
        int d = distance(word, verbs[i].name);
        if (d < best_distance) {
            best = &verbs[i];
            best_distance = d;
        }
    }
    if (best)
        fprintf(stderr, "vegttt: '%s' is neither a verb nor a .lua file; did you mean '%s'?\n", word, best->name);
    else
        fprintf(stderr, "vegttt: '%s' is neither a verb nor a .lua file; `vegttt --help` lists the verbs\n", word);
    return VT_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return VT_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return VT_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("vegttt " VEGTTT_VERSION "\n");
        return VT_EXIT_OK;
    }
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    size_t n = strlen(argv[1]);
    if (n > 4 && strcmp(argv[1] + n - 4, ".lua") == 0)
        return vt_run_experiment(argc - 1, argv + 1);
    return unknown(argv[1]);
}
