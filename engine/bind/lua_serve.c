/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_serve.c: lines in, lines out, for `vegttt eval --serve`: from standard input, or from any number of clients of a
 * Unix socket. The Lua half asks for one line at a time (an operation) and answers each line once.
 *
 * Backpressure: descriptors are only watched while somebody waits for a line, so a client that sends faster than the
 * evaluator judges fills its own pipe. A client's answers that it does not read pile up here to a limit, then it is
 * dropped. A client that has shut its writing side down stays until its last answer is out. A line beyond LINE_BYTES
 * is reported as too long and skipped to its end.
 *
 * Everything runs on the loop thread. The server is a userdata and frees its clients and socket file when collected.
 */
#include "base/alloc.h"
#include "bind/lua_core.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_BYTES = 4 << 20, UNREAD_BYTES = 64 << 20, CHUNK = 1 << 16, MAX_CLIENTS = 256 };
static const char serve_type[] = "vt.serve";
static const double retry_s = 0.02;

struct server;

struct client {
    struct server *server;
    lua_Integer id;
    int fd;            /* -1 = a free slot */
    bool is_ended;     /* nothing more will be read */
    bool is_skipping;  /* inside a line that is too long */
    struct vt_buf in;  /* read, not yet a line */
    struct vt_buf out; /* to be sent from out_at on; sockets only */
    size_t out_at;
    size_t n_unanswered;
};

struct next_op {
    struct vt_op op;
    lua_Integer client;
    char *line; /* malloc'd; NULL = too long */
    size_t len;
    bool is_end;
};

struct server {
    vt_bind *bind;
    int listen_fd;
    char *path; /* of the socket; NULL = standard input */
    struct client client[MAX_CLIENTS];
    lua_Integer last_id;
    struct next_op *waiting;
    bool is_closed, has_timer, is_watching;
    vt_timer timer;
};

static void watch_all(struct server *s, bool on);
static void serve_lines(struct server *s);

static void client_drop(struct client *c)
{
    if (c->server->is_watching && !c->is_ended)
        vt_loop_unwatch(c->server->bind->loop, c->fd);
    if (c->server->path)
        close(c->fd);
    vt_buf_free(&c->in);
    vt_buf_free(&c->out);
    c->fd = -1;
}

static bool client_add(struct server *s, int fd)
{
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &s->client[i];
        if (c->fd >= 0)
            continue;
        *c = (struct client){.server = s, .id = ++s->last_id, .fd = fd};
        vt_buf_init(&c->in, LINE_BYTES + CHUNK);
        vt_buf_init(&c->out, UNREAD_BYTES);
        return true;
    }
    return false;
}

/* A client that has ended, was answered and has read its answers is done with. */
static void client_settle(struct client *c)
{
    if (c->fd >= 0 && c->is_ended && c->n_unanswered == 0 && c->out_at == c->out.len &&
        (c->in.len == 0 || !memchr(c->in.p, '\n', c->in.len)))
        client_drop(c);
}

/* ---- reading ---- */

static void hand_over(struct server *s, struct client *c, char *line, size_t len)
{
    struct next_op *op = s->waiting;
    s->waiting = NULL;
    op->client = c->id;
    op->line = line;
    op->len = len;
    c->n_unanswered++;
    vt_op_finish(op, VT_OK, NULL);
}

static void drop_front(struct vt_buf *b, size_t n)
{
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

static bool is_blank(const char *p, size_t n)
{
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
        n--;
    return n == 0;
}

/* Hands the first whole line of c to the waiting operation; blank lines vanish. */
static bool serve_line(struct server *s, struct client *c)
{
    while (c->in.len > 0) {
        char *end = memchr(c->in.p, '\n', c->in.len);
        size_t len = end ? (size_t)(end - c->in.p) : c->in.len;
        bool was_skipping = c->is_skipping;
        if (!end && !c->is_ended && len < LINE_BYTES)
            return false;
        if (!end && !c->is_ended) { /* too long: told once, skipped to its end */
            c->is_skipping = true;
            vt_buf_clear(&c->in);
            if (!was_skipping)
                hand_over(s, c, NULL, 0);
            return !was_skipping;
        }
        char *line = was_skipping || is_blank(c->in.p, len) ? NULL : vt_alloc(len + 1);
        if (line)
            memcpy(line, c->in.p, len);
        c->is_skipping = false;
        drop_front(&c->in, end ? len + 1 : len);
        if (line) {
            hand_over(s, c, line, len);
            return true;
        }
    }
    return false;
}

static void on_readable(void *arg)
{
    struct client *c = arg;
    char chunk[CHUNK];
    ssize_t n = read(c->fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        vt_buf_add(&c->in, chunk, (size_t)n);
    } else {
        vt_loop_unwatch(c->server->bind->loop, c->fd);
        c->is_ended = true;
    }
    serve_lines(c->server);
    client_settle(c);
}

static void on_client(void *arg)
{
    struct server *s = arg;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    vt_err err;
    if (fd < 0)
        return;
    if (!client_add(s, fd)) {
        close(fd);
        return;
    }
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->client[i].fd == fd && vt_loop_watch(s->bind->loop, fd, on_readable, &s->client[i], &err) != VT_OK)
            client_drop(&s->client[i]);
}

static void watch_all(struct server *s, bool on)
{
    if (on == s->is_watching)
        return;
    s->is_watching = on;
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &s->client[i];
        if (c->fd < 0 || c->is_ended)
            continue;
        if (!on)
            vt_loop_unwatch(s->bind->loop, c->fd);
        else if (vt_loop_watch(s->bind->loop, c->fd, on_readable, c, NULL) != VT_OK)
            c->is_ended = true;
    }
    if (s->listen_fd >= 0 && !on)
        vt_loop_unwatch(s->bind->loop, s->listen_fd);
    else if (s->listen_fd >= 0)
        (void)!vt_loop_watch(s->bind->loop, s->listen_fd, on_client, s, NULL);
}

/* A line for the waiting operation from whoever has one; the end when no line can come any more. */
static void serve_lines(struct server *s)
{
    bool may_come = s->listen_fd >= 0 && !s->is_closed;
    for (size_t i = 0; i < MAX_CLIENTS && s->waiting; i++) {
        struct client *c = &s->client[i];
        if (c->fd >= 0 && !s->is_closed && serve_line(s, c))
            break;
        may_come = may_come || (c->fd >= 0 && !c->is_ended && !s->is_closed);
    }
    if (s->waiting && !may_come) {
        s->waiting->is_end = true;
        vt_op_finish(s->waiting, VT_OK, NULL);
        s->waiting = NULL;
    }
    watch_all(s, s->waiting != NULL);
}

/* ---- sending ---- */

static void on_retry(void *arg);

static void client_flush(struct client *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->fd, c->out.p + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (!c->server->has_timer) {
                c->server->has_timer = true;
                c->server->timer = vt_loop_after(c->server->bind->loop, retry_s, on_retry, c->server);
            }
            return;
        }
        if (n < 0) {
            client_drop(c);
            return;
        }
        c->out_at += (size_t)n;
    }
    vt_buf_clear(&c->out);
    c->out_at = 0;
}

static void on_retry(void *arg)
{
    struct server *s = arg;
    s->has_timer = false;
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        if (s->client[i].fd >= 0)
            client_flush(&s->client[i]);
        if (s->client[i].fd >= 0)
            client_settle(&s->client[i]);
    }
}

/* ---- the Lua side ---- */

static struct server *check(lua_State *L)
{
    return luaL_checkudata(L, 1, serve_type);
}

static int serve_gc(lua_State *L)
{
    struct server *s = check(L);
    s->is_closed = true;
    watch_all(s, false);
    if (s->has_timer)
        vt_loop_cancel(s->bind->loop, s->timer);
    s->has_timer = false;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        if (s->client[i].fd >= 0)
            client_drop(&s->client[i]);
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
        unlink(s->path);
    }
    s->listen_fd = -1;
    free(s->path);
    s->path = NULL;
    return 0;
}

/* Binds the socket; a file left by a server that is gone is replaced. */
static vt_status listen_at(const char *path, int *out, vt_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (strlen(path) >= sizeof a.sun_path)
        return vt_fail(err, VT_EINVAL,
                       "Could not listen at %s: a socket's path has at most %zu bytes; choose a shorter one", path,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return vt_fail(err, VT_EIO, "Could not make a socket: %s", strerror(errno));
    if (stat(path, &st) == 0) {
        bool is_live = S_ISSOCK(st.st_mode) && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (is_live || !S_ISSOCK(st.st_mode))
            return vt_fail(
                err, VT_EINVAL,
                is_live ? "Could not listen at %s: another server does" : "Could not listen at %s: it is a file", path);
        unlink(path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    }
    mode_t mask = umask(077);
    bool is_well = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 64) == 0;
    umask(mask);
    if (is_well) {
        *out = fd;
        return VT_OK;
    }
    vt_status status = vt_fail(err, VT_EIO, "Could not listen at %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

/* core.serve_open(path or nil) -> server; nil is standard input. */
static int l_open(lua_State *L)
{
    vt_err err;
    const char *path = luaL_optstring(L, 1, NULL);
    struct server *s = lua_newuserdatauv(L, sizeof *s, 0);
    memset(s, 0, sizeof *s);
    s->bind = vt_lua_bind(L);
    s->listen_fd = -1;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        s->client[i].fd = -1;
    luaL_setmetatable(L, serve_type);
    if (!path) {
        client_add(s, STDIN_FILENO);
        return 1;
    }
    s->path = vt_strdup(path);
    if (!s->path)
        return luaL_error(L, "no memory for a socket");
    if (listen_at(path, &s->listen_fd, &err) != VT_OK)
        return vt_lua_raise(L, "vegttt eval --serve", &err);
    return 1;
}

/* -> client, line (false: too long), or nothing at the end. */
static int push_line(lua_State *L, struct vt_op *base, int idx)
{
    struct next_op *op = (struct next_op *)base;
    (void)idx;
    if (op->is_end)
        return 0;
    lua_pushinteger(L, op->client);
    if (op->line)
        lua_pushlstring(L, op->line, op->len);
    else
        lua_pushboolean(L, false);
    return 2;
}

static void release_line(struct vt_op *base)
{
    free(((struct next_op *)base)->line);
}

/* core.serve_next(server) -> op; one at a time. */
static int l_next(lua_State *L)
{
    struct server *s = check(L);
    luaL_argcheck(L, !s->waiting, 1, "somebody waits for a line already");
    struct next_op *op = vt_op_new(L, sizeof *op, "eval --serve", push_line, release_line);
    vt_op_start(L, lua_gettop(L));
    s->waiting = op;
    serve_lines(s);
    return 1;
}

/* core.serve_answer(server, client, text): the one answer to one line of a socket's client; a client that is gone
 * needs none. */
static int l_answer(lua_State *L)
{
    size_t n;
    struct server *s = check(L);
    lua_Integer id = luaL_checkinteger(L, 2);
    const char *text = luaL_checklstring(L, 3, &n);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &s->client[i];
        if (c->fd < 0 || c->id != id)
            continue;
        if (c->n_unanswered > 0)
            c->n_unanswered--;
        if (s->path) {
            vt_buf_add(&c->out, text, n);
            if (c->out.status != VT_OK)
                client_drop(c);
            else
                client_flush(c);
        } else {
            s->bind->host.print(s->bind->host.arg, VT_STDOUT, text, n);
        }
        if (c->fd >= 0)
            client_settle(c);
        break;
    }
    return 0;
}

/* core.serve_close(server): no more lines; who waits for one gets the end. */
static int l_close(lua_State *L)
{
    struct server *s = check(L);
    s->is_closed = true;
    serve_lines(s);
    return 0;
}

void vt_lua_add_serve(lua_State *L)
{
    static const luaL_Reg functions[] = {{"serve_open", l_open},
                                         {"serve_next", l_next},
                                         {"serve_answer", l_answer},
                                         {"serve_close", l_close},
                                         {NULL, NULL}};
    luaL_newmetatable(L, serve_type);
    lua_pushcfunction(L, serve_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
