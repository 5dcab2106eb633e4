/* SPDX-License-Identifier: Apache-2.0
 *
 * served.h: a test's server: a program of tests/double that prints its port and ends with its standard input, so that
 * it never outlives the test.
 */
#ifndef VT_TEST_SERVED_H
#define VT_TEST_SERVED_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_SERVED_ARGS = 24 };

struct served {
    pid_t pid;
    int in; /* its standard input */
    int port;
    char url[96]; /* http://127.0.0.1:PORT */
};

/* program: a file of tests/double; args: NULL at the end. port 0: it did not start. */
static inline struct served serve(const char *program, const char *const *args)
{
    struct served s = {.pid = -1, .in = -1};
    const char *argv[MAX_SERVED_ARGS + 3] = {"python3"};
    char path[512], line[32] = "";
    int in[2], out[2], n = 2;
    FILE *f;

    snprintf(path, sizeof path, "%s/tests/double/%s", VT_SOURCE_DIR, program);
    argv[1] = path;
    for (; args && args[n - 2] && n < MAX_SERVED_ARGS; n++)
        argv[n] = args[n - 2];
    if (pipe(in) != 0 || pipe(out) != 0)
        return s;
    s.pid = fork();
    if (s.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execvp("python3", (char *const *)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    s.in = in[1];
    f = fdopen(out[0], "r");
    if (f && fgets(line, sizeof line, f))
        s.port = (int)strtol(line, NULL, 10);
    if (f)
        fclose(f);
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d", s.port);
    return s;
}

static inline void unserve(struct served *s)
{
    if (s->pid <= 0)
        return;
    close(s->in);
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = -1;
}

/* Proxies of this machine must not stand between a test and its server. */
static inline void without_proxies(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "all_proxy",
                                        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

#endif
