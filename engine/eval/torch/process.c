/* SPDX-License-Identifier: Apache-2.0
 *
 * process.c: starts the user's Python (VEGTTT_PYTHON, else python3 of the PATH) on the text of worker.py, which is part
 * of this program, in a group and with an environment of its own. Messages are JSON behind four bytes of length; those
 * of a candidate's process are read as what a stranger says: bounded in size, and their absence is a failure of its
 * call.
 */
#include "eval/torch/process.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/embedded.h"
#include "base/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKET = 3, MAX_MESSAGE = 4 << 20, MAX_ENV = 16 };

extern const struct vt_embedded vt_torch_text[];

/* What a Python needs to find itself, its packages and its GPU; the rest is nobody's business. */
static const char *const kept[] = {"PATH",        "LD_LIBRARY_PATH",        "CUDA_HOME", "CUDA_PATH", "PYTHONPATH",
                                   "VIRTUAL_ENV", "NVIDIA_VISIBLE_DEVICES", NULL};

static char *variable(const char *name, const char *value)
{
    const size_t n = strlen(name) + strlen(value) + 2;
    char *s = vt_alloc(n);
    if (s)
        snprintf(s, n, "%s=%s", name, value);
    return s;
}

static void make_environment(int device, char *env[MAX_ENV])
{
    size_t n = 0;
    char number[16];
    for (const char *const *k = kept; *k; k++)
        if (getenv(*k) && (env[n] = variable(*k, getenv(*k))))
            n++;
    snprintf(number, sizeof number, "%d", device);
    const char *visible = device >= 0 ? number : getenv("CUDA_VISIBLE_DEVICES");
    if (visible && (env[n] = variable("CUDA_VISIBLE_DEVICES", visible)))
        n++;
    env[n] = NULL;
}

static const char *worker_text(void)
{
    for (const struct vt_embedded *e = vt_torch_text; e->name; e++)
        if (strcmp(e->name, "worker.py") == 0)
            return e->text;
    return "";
}

vt_status vt_torch_process_start(const char *mode, int device, struct vt_torch_process *out, vt_err *err)
{
    const char *python = getenv("VEGTTT_PYTHON") ? getenv("VEGTTT_PYTHON") : "python3";
    *out = (struct vt_torch_process){.socket = -1};
    char *env[MAX_ENV];
    char *argv[] = {(char *)(uintptr_t)python,        (char *)(uintptr_t) "-I", (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)worker_text(), (char *)(uintptr_t)mode,  NULL};
    make_environment(device, env);
    if (getenv("PYTHONPATH")) /* which -I would ignore */
        argv[1] = (char *)(uintptr_t) "-s";
    const struct vt_spawn spawn = {python, argv, env, SOCK_STREAM, SOCKET, getenv("VEGTTT_TORCH_STDERR") ? 0 : 3};
    int e = vt_spawn_start(&spawn, &out->pid, &out->socket);
    for (char **v = env; *v; v++)
        free(*v);
    if (!e)
        return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED, "cannot start %s: %s; name a Python with torch in VEGTTT_PYTHON", python,
                   strerror(e));
}

void vt_torch_process_stop(const struct vt_torch_process *p)
{
    if (p->socket >= 0)
        shutdown(p->socket, SHUT_RDWR);
    if (p->pid > 0)
        kill(-p->pid, SIGKILL);
}

void vt_torch_process_end(struct vt_torch_process *p)
{
    if (p->socket >= 0)
        close(p->socket);
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *p = (struct vt_torch_process){.socket = -1};
}

static vt_status gone(vt_err *err)
{
    return vt_fail(err, VT_EINTERNAL, "a Python of the torch tier ended unexpectedly");
}

static bool put(int socket, const char *p, size_t n)
{
    while (n > 0) {
        const ssize_t k = send(socket, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

vt_status vt_torch_send(struct vt_torch_process *p, const vt_json *request, vt_err *err)
{
    struct vt_buf text;
    vt_buf_init(&text, MAX_MESSAGE);
    vt_status s = vt_json_write(request, false, &text, err);
    if (s == VT_OK)
        s = vt_buf_check(&text, "a message to Python", err);
    const uint32_t n = (uint32_t)text.len;
    if (s == VT_OK && (p->socket < 0 || !put(p->socket, (const char *)&n, sizeof n) || !put(p->socket, text.p, n)))
        s = gone(err);
    vt_buf_free(&text);
    return s;
}

static vt_status take(struct vt_torch_process *p, char *to, size_t n, uint64_t until, vt_err *err)
{
    while (n > 0) {
        const uint64_t now = vt_now_ns();
        struct pollfd w = {.fd = p->socket, .events = POLLIN};
        if (now >= until)
            return vt_fail(err, VT_ETIMEOUT, "a Python of the torch tier did not answer in time");
        const int ready = poll(&w, 1, (int)((until - now) / 1000000 + 1));
        if (ready < 0 && errno == EINTR)
            continue;
        const ssize_t k = ready > 0 ? recv(p->socket, to, n, 0) : 0;
        if (ready > 0 && k <= 0 && !(k < 0 && errno == EINTR))
            return gone(err);
        to += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
    }
    return VT_OK;
}

vt_status vt_torch_receive(struct vt_torch_process *p, uint64_t timeout_ns, vt_json **reply, uint64_t *ns, vt_err *err)
{
    uint32_t n = 0;
    const uint64_t until = vt_now_ns() + timeout_ns;
    *reply = NULL;
    if (p->socket < 0)
        return gone(err);
    VT_TRY(take(p, (char *)&n, sizeof n, until, err));
    if (ns)
        *ns = vt_now_ns();
    if (n > MAX_MESSAGE)
        return gone(err);
    char *text = vt_alloc((size_t)n + 1);
    if (!text)
        return vt_fail(err, VT_ENOMEM, "out of memory for an answer of Python");
    vt_status s = take(p, text, n, until, err);
    if (s == VT_OK && vt_json_parse(text, n, "an answer of Python", reply, NULL) != VT_OK)
        s = gone(err);
    if (s == VT_OK && !vt_json_is_object(*reply)) {
        vt_json_free(*reply);
        *reply = NULL;
        s = gone(err);
    }
    free(text);
    return s;
}
