/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: an engine with this process's terminal around it. What an experiment's arguments mean, what is printed at the
 * end and which exit code that is, the Lua half decides (lua/vegttt/main.lua), because parameters are declared in Lua.
 *
 * The second Ctrl-C ends the process at once, and so does a limit or a Ctrl-C that finds a script inside one call of C:
 * everything recorded is already in its files, since each line is one write.
 */
#include "bind/bind.h"
#include "cli/panel.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct vt_embedded vt_embedded_lua[];

struct terminal {
    struct vt_panel panel;
    int lost_errno; /* why standard output did not take what was printed; 0 = it did, or nobody reads it any more */
};

static void print(void *arg, enum vt_output where, const char *text, size_t len)
{
    struct terminal *t = arg;
    FILE *out = where == VT_STDOUT ? stdout : stderr;
    vt_panel_clear(&t->panel);
    bool is_written = fwrite(text, 1, len, out) == len;
    is_written = fflush(out) == 0 && is_written;
    if (!is_written && where == VT_STDOUT && errno != EPIPE)
        t->lost_errno = errno;
}

static void progress(void *arg, const struct vt_progress *p)
{
    struct terminal *t = arg;
    vt_panel_show(&t->panel, p);
}

static void panel(void *arg, const char *text)
{
    struct terminal *t = arg;
    vt_panel_text(&t->panel, text);
}

static int columns(void *arg)
{
    (void)arg;
    return vt_terminal_columns(STDOUT_FILENO, 80);
}

static void raw(void *arg, bool is_raw)
{
    struct terminal *t = arg;
    vt_panel_clear(&t->panel);
    vt_terminal_raw(is_raw);
}

static int key(void *arg)
{
    (void)arg;
    return vt_terminal_key();
}

static void stop_now(void *arg, int exit_code, const char *err_text, const char *out_text)
{
    (void)arg;
    if (!err_text)
        err_text = "vegttt: interrupted, and stopped at once\n";
    (void)!write(STDERR_FILENO, err_text, strlen(err_text));
    if (out_text)
        (void)!write(STDOUT_FILENO, out_text, strlen(out_text));
    vt_terminal_raw(false);
    _exit(exit_code);
}

int vt_run_module(const char *module, int argc, char **argv)
{
    vt_err err;
    vt_bind *b = NULL;
    int exit_code = VT_EXIT_INFRA;
    struct terminal terminal = {.panel.is_tty = isatty(STDERR_FILENO) != 0};
    const char *lua_dir = getenv("VEGTTT_LUA_DIR");
    const struct vt_bind_host host = {
        .arg = &terminal,
        .lua = vt_embedded_lua,
        .lua_dir = lua_dir && *lua_dir ? lua_dir : NULL,
        .tty = terminal.panel.is_tty,
        .print = print,
        .progress = progress,
        .panel = panel,
        .columns = columns,
        .raw = raw,
        .key = key,
        .stop_now = stop_now,
    };
    /* A reader that goes away (| head) is a failed write, not a death by signal. */
    signal(SIGPIPE, SIG_IGN);
    vt_status status = vt_bind_open(&host, &b, &err);
    if (status == VT_OK)
        status = vt_bind_main(b, module, argc, argv, &exit_code, &err);
    vt_panel_clear(&terminal.panel);
    if (status == VT_OK && terminal.lost_errno && exit_code == 0)
        status = vt_fail(&err, VT_EIO, "cannot write to standard output: %s; what a run recorded is kept",
                         strerror(terminal.lost_errno));
    if (status != VT_OK)
        exit_code = vt_cli_fail(&err);
    vt_bind_close(b);
    return exit_code;
}

int vt_run_experiment(int argc, char **argv)
{
    return vt_run_module("vegttt.main", argc, argv);
}
