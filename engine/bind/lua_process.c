/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_process.c: commands that scripts start (os.execute, io.popen), as Lua has them but for five things. A command
 * begins with no signal blocked, as the engine's thread has; it is a process group of its own, so that an interrupt or
 * a limit can end it with all that it started (warden.h); one that is only run reads nothing: standard input is an
 * input of the run, which a child would take from it unseen; one whose file the script never closed is killed
 * when the scripts have ended, and not waited for; and what it leaves in the background ends with the process
 * (descendants.h). One that runs when the process is killed is ended by its guard (loop/guard.h).
 */
#include "bind/descendants.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "bind/lua_stop.h"
#include "bind/warden.h"
#include "loop/guard.h"
#include <errno.h>
#include <fcntl.h>
#include <lualib.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct command {
    pid_t pid;
    pid_t guard; /* ends it and its group when this process was killed; 0 = none */
};

struct stream {
    luaL_Stream stream; /* what the io library knows */
    struct command command;
};

/* Starts /bin/sh -c command with `fd` as its descriptor `as`; 0 or an errno. */
static int start(vt_bind *b, const char *command, int fd, int as, struct command *c)
{
    static char sh[] = "sh", dash_c[] = "-c";
    char *argv[] = {sh, dash_c, (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, usual;
    vt_descendants_adopt();
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    int e = posix_spawn_file_actions_init(&actions);
    if (e != 0)
        return e;
    if ((e = posix_spawnattr_init(&attr)) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return e;
    }
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &usual);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    if (as != STDIN_FILENO)
        e = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (e == 0 && fd >= 0)
        e = posix_spawn_file_actions_adddup2(&actions, fd, as);
    if (e == 0)
        e = posix_spawn(&c->pid, "/bin/sh", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    if (e == 0) {
        const int leader_fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
        (void)vt_warden_child_add(b->warden, c->pid);
        if (leader_fd >= 0) {
            c->guard = vt_guard_start(c->pid, leader_fd, false);
            close(leader_fd);
        }
    }
    return e;
}

/* Waits for a command and pushes what os.execute gives. */
static int finish(lua_State *L, const struct command *c)
{
    pid_t pid = c->pid;
    vt_bind *b = vt_lua_bind(L);
    siginfo_t info;
    int status = 0;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        ;
    vt_warden_child_del(b->warden, pid);
    if (c->guard > 0) {
        kill(c->guard, SIGKILL);
        while (waitpid(c->guard, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    pid_t reaped;
    while ((reaped = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    int e = errno;
    while (waitpid(-pid, NULL, WNOHANG) > 0) /* what it left, and has ended too */
        ;
    if (!b->is_closing)
        vt_lua_check_stop(L);
    errno = e;
    if (reaped < 0)
        return luaL_fileresult(L, 0, NULL);
    errno = 0;
    return luaL_execresult(L, status);
}

/* core.execute([command]) as os.execute */
static int l_execute(lua_State *L)
{
    const char *command = luaL_optstring(L, 1, NULL);
    struct command c = {0};
    if (!command) {
        lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
        return 1;
    }
    vt_lua_check_stop(L);
    fflush(NULL);
    int e = start(vt_lua_bind(L), command, -1, STDOUT_FILENO, &c);
    if (e != 0) {
        errno = e;
        return luaL_fileresult(L, 0, NULL);
    }
    return finish(L, &c);
}

static int close_stream(lua_State *L)
{
    struct stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    if (vt_lua_bind(L)->is_closing) { /* nobody asked for its end: neither it nor who holds its pipe is waited for */
        kill(-s->command.pid, SIGKILL);
        (void)fcntl(fileno(s->stream.f), F_SETFL, O_NONBLOCK);
    }
    fclose(s->stream.f);
    return finish(L, &s->command);
}

/* core.popen(command, mode) as io.popen */
static int l_popen(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    luaL_argcheck(L, strcmp(mode, "r") == 0 || strcmp(mode, "w") == 0, 2, "invalid mode");
    bool reads = mode[0] == 'r';
    struct stream *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct stream){0};
    luaL_setmetatable(L, LUA_FILEHANDLE); /* closed as yet */
    int ends[2];
    vt_lua_check_stop(L);
    fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return luaL_fileresult(L, 0, command);
    int ours = ends[reads ? 0 : 1], theirs = ends[reads ? 1 : 0];
    s->stream.f = fdopen(ours, mode);
    int e =
        s->stream.f ? start(vt_lua_bind(L), command, theirs, reads ? STDOUT_FILENO : STDIN_FILENO, &s->command) : errno;
    close(theirs);
    if (e != 0) {
        if (s->stream.f)
            fclose(s->stream.f);
        else
            close(ours);
        s->stream.f = NULL;
        errno = e;
        return luaL_fileresult(L, 0, command);
    }
    s->stream.closef = close_stream;
    return 1;
}

void vt_lua_add_process(lua_State *L)
{
    static const luaL_Reg functions[] = {{"execute", l_execute}, {"popen", l_popen}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
