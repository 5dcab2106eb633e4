/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c: what was asked for: a verb of verbs.h, or an experiment file. Everything that prints, exits or knows about
 * terminals is in this folder.
 */
#include "base/nearest.h"
#include "bind/build_id.h"
#include "cli/verbs.h"
#include <fcntl.h>
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

int vt_cli_fail_named(const vt_err *err)
{
    bool is_named = err->code == VT_ENOENT || err->code == VT_EFORMAT || err->code == VT_ELIMIT;
    int code = vt_cli_fail(err);
    return is_named ? VT_EXIT_USAGE : code;
}

static void usage(FILE *out)
{
    fprintf(out, "vegttt " VEGTTT_VERSION ": sample more, choose better, or adapt the weights?\n\n"
                 "  vegttt FILE.lua [--param value …]\n      run an experiment (--help lists its parameters)\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  vegttt %s%s%s\n      %s\n", verbs[i].name, verbs[i].args[0] ? " " : "", verbs[i].args,
                verbs[i].help);
    fprintf(out, "\nvegttt VERB --help says more. Exit codes:\n");
#define X(name, code, text) fprintf(out, "  %3d  %s\n", code, text);
    VT_EXIT_MAP(X)
#undef X
    fprintf(out, "\nTry: vegttt experiments/boa.lua\n");
}

static const struct verb *find(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

int vt_cli_usage(const char *verb)
{
    fprintf(stderr, "vegttt: usage: vegttt %s %s; `vegttt %s --help` says more\n", verb, find(verb)->args, verb);
    return VT_EXIT_USAGE;
}

void vt_cli_help(const char *verb)
{
    printf("vegttt %s %s\n  %s\n", verb, find(verb)->args, find(verb)->help);
}

static int unknown(const char *word)
{
    const char *names[N_VERBS], *near;

    for (size_t i = 0; i < N_VERBS; i++)
        names[i] = verbs[i].name;
    near = vt_nearest(word, names, N_VERBS);
    if (near)
        fprintf(stderr, "vegttt: '%s' is neither a verb nor a .lua file; did you mean '%s'?\n", word, near);
    else
        fprintf(stderr, "vegttt: '%s' is neither a verb nor a .lua file; `vegttt --help` lists the verbs\n", word);
    return VT_EXIT_USAGE;
}

/* A caller may have closed standard descriptors. The first files that are opened would get their numbers, and answers
 * would go into them. What stands there instead cannot be used in the stream's direction, so that reading and writing
 * fail as they do on what is closed, and are reported. */
static void fill_closed_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY); /* gets the lowest number, which is this one */
}

int main(int argc, char **argv)
{
    fill_closed_streams();
    if (argc < 2) {
        usage(stderr);
        return VT_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (argc == 2 && strcmp(argv[1], "help") == 0)) {
        usage(stdout);
        return VT_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("vegttt " VEGTTT_VERSION " (commit %s, engine %.12s)\n", vt_build_commit, vt_build_engine);
        return VT_EXIT_OK;
    }
    const struct verb *verb = find(argv[1]);
    if (verb)
        return verb->run(argc - 1, argv + 1);
    size_t n = strlen(argv[1]);
    if (n > 4 && strcmp(argv[1] + n - 4, ".lua") == 0)
        return vt_run_experiment(argc - 1, argv + 1);
    return unknown(argv[1]);
}
