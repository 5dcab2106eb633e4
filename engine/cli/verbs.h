/* SPDX-License-Identifier: Apache-2.0
 *
 * verbs.h: what `vegttt VERB …` can do, as one table that main.c and --help read. A verb is one function
 * `vt_verb_NAME` in verb_NAME.c (or verbs_lua.c: those that the Lua half carries out); it prints its result on
 * stdout, talk on stderr, and returns an exit code. To add one: a row here and the function.
 */
#ifndef VT_CLI_VERBS_H
#define VT_CLI_VERBS_H

#include "base/args.h"
#include "base/exit.h"

/* name, arguments, what it does */
#define VT_VERB_MAP(X)                                                                                                 \
    X(model, "pull|info NAME | ls | check FOLDER[+ADAPTER] [--chat FAMILY] [--python FILE] [--fp32]",                  \
      "fetch a model into the cache, say what a file holds, compare a folder with transformers")                       \
    X(split, "make --level l1|l2 --seed N [--out FILE] | check FILE", "make or verify a KernelBench split")            \
    X(bench, "[SPEC] [--row NAME] [--reps N] [--json]",                                                                \
      "tokens per second of sampling, scoring and training on this machine")                                           \
    X(task, "check|show ID|FILE.lua | new NAME | ls",                                                                  \
      "is a task sound, what does a model see, a skeleton to start from")                                              \
    X(eval, "--task T FILE.c | --all DIR | --serve", "judge C code: correct? how much faster? why?")                   \
    X(optimise, "FILE.c --function f", "look for a faster version of a C function of yours")                           \
    X(ls, "", "the runs recorded here")                                                                                \
    X(show, "RUN", "parameters, tables and costs of a run")                                                            \
    X(export, "RUN --kernels DIR", "the best kernel of each task of a run")                                            \
    X(doctor, "", "what this machine has: cores, instruction sets, GPUs, compilers, jail layers")                      \
    X(test, "FOLDER", "run Lua tests inside the engine")

#define X(name, args, help) int vt_verb_##name(int argc, char **argv);
VT_VERB_MAP(X)
#undef X

/* run.c: an experiment file; a module of the Lua half with its main(…). */
int vt_run_experiment(int argc, char **argv);
int vt_run_module(const char *module, int argc, char **argv);

/* main.c: "vegttt: MESSAGE" on stderr, and the exit code that fits the status; the usage line of a verb,
 * as an error and as an answer. */
int vt_cli_fail(const vt_err *err);
int vt_cli_usage(const char *verb);
void vt_cli_help(const char *verb);

/* words.c: the words after a verb. values[i] = what options[i] was given ("true" for a switch), NULL where it was not;
 * words = the others, at most max_words. False when there is nothing more to do: --help was asked for and printed, or
 * something is wrong and was said; *exit_code is then the verb's. */
bool vt_cli_words(const char *verb, const struct vt_arg *options, size_t n, int argc, char **argv, const char **values,
                  const char **words, size_t max_words, size_t *n_words, int *exit_code);

#endif
