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
    X(new, "experiment|rule|task NAME", "a small file that works as it is, and its test")                              \
    X(test, "FOLDER|FILE…",                                                                                            \
      "run Lua tests inside the engine, with a model and an evaluator that say what they are told")                    \
    X(repl, "[FILE.lua] [--param value …]", "Lua, a line at a time, inside a run")                                     \
    X(watch, "[RUN…] | FILE.lua --on-save", "runs in progress; a selection rule on recorded samples at every save")    \
    X(task, "check|show ID|FILE.lua | ls", "is a task sound, what does a model see")                                   \
    X(eval, "--task T FILE.c | --all DIR | --serve", "judge C code: correct? how much faster? why?")                   \
    X(worker, "--queue ADDRESS", "judge what stands in a queue, for experiments that run elsewhere")                   \
    X(farm, "slurm|local start [NAME] | status [NAME] | stop [NAME]", "many workers, here or as a Slurm job array")    \
    X(baseline, "[--task IDS] [--out FILE]", "what PyTorch eager takes on this machine's GPU")                         \
    X(optimise, "FILE.c --function f", "look for a faster version of a C function of yours")                           \
    X(ls, "[RUN…] [--json]", "the runs recorded here")                                                                 \
    X(show, "RUN [--sample N]", "parameters, tables and costs of a run")                                               \
    X(compare, "A B", "two runs side by side, paired by task")                                                         \
    X(export, "RUN --kernels DIR | --samples FILE.csv", "the best kernel of each task of a run, or every sample")      \
    X(import, "FILE.jsonl [--map OURS=THEIRS,…] [--judge]", "rollouts of another program as a run")                    \
    X(plot, "RUN [NAME]", "a figure of a run, in the terminal")                                                        \
    X(report, "RUN… [--out FILE.html]", "one page about runs that holds everything")                                   \
    X(rejudge, "RUN [--protocol full] [--replicate N]", "a run's samples judged again, as a run beside it")            \
    X(rm, "RUN… [--dry-run]", "remove runs; says how many bytes that gives back")                                      \
    X(gc, "[--dry-run]", "give back the disk of what no run needs")                                                    \
    X(help, "[TOPIC]", "longer texts; `help lua NAME` is the reference of scripts")                                    \
    X(completion, "bash|zsh|fish", "completion of verbs, options and runs for a shell")                                \
    X(doctor, "", "what this machine has: cores, instruction sets, GPUs, compilers, jail layers")

#define X(name, args, help) int vt_verb_##name(int argc, char **argv);
VT_VERB_MAP(X)
#undef X

/* run.c: an experiment file; a module of the Lua half with its main(…). */
int vt_run_experiment(int argc, char **argv);
int vt_run_module(const char *module, int argc, char **argv);

/* main.c: "vegttt: MESSAGE" on stderr, and the exit code that fits the status; the usage line of a verb, as an error
 * and as an answer. */
int vt_cli_fail(const vt_err *err);
/* The same where the trouble may lie in a file or a name that the user gave: one that is not there, or holds something
 * else, is a bad word and not the machine's failure. */
int vt_cli_fail_named(const vt_err *err);
int vt_cli_usage(const char *verb);
void vt_cli_help(const char *verb);

/* words.c: the words after a verb. values[i] = what options[i] was given ("true" for a switch), NULL where it was not;
 * words = the others, at most max_words. False when there is nothing more to do: --help was asked for and printed, or
 * something is wrong and was said; *exit_code is then the verb's. */
bool vt_cli_words(const char *verb, const struct vt_arg *options, size_t n, int argc, char **argv, const char **values,
                  const char **words, size_t max_words, size_t *n_words, int *exit_code);

/* Of a verb that can do several things: its first word, how many words follow it, and which of the verb's options it
 * takes (bit i: options[i]). */
struct vt_cli_action {
    const char *name;
    size_t n_words;
    unsigned options;
};
/* The action that the words ask for, in *which. False when there is none, or a word or an option has no meaning there:
 * it was said, *exit_code is set. */
bool vt_cli_action(const char *verb, const struct vt_cli_action *actions, size_t n, const struct vt_arg *options,
                   const char *const *values, size_t n_options, const char *const *words, size_t n_words, size_t *which,
                   int *exit_code);

#endif
