/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_hacks.c: every file of tests/hacks through the evaluator. The files' headers say what must come out:
 *
 *   // task: relu                          one of the tasks of eval_fixture.h
 *   // expect: wrong_output|runtime_error  any of these
 *   // id: D1                              entry of the catalogue, or "honest"
 *   // with: raw_syscall                   raw_syscall(number, …) by instruction: no function that asks the system for
 *                                          anything can be called by name
 *
 * A rotation of about a third runs by default, chosen by a hash of the name and the day; VEGTTT_FULL=1 runs all,
 * VEGTTT_ONLY=q01 those whose names begin so.
 * Counted apart: cheats accepted and honest kernels refused; both must be 0. At the end nothing may be left over: no
 * zombie, no file, no process.
 */
#include "base/fs.h"
#include "eval_fixture.h"
#include <dirent.h>
#include <sys/wait.h>
#include <time.h>

struct hack {
    char name[96], task[32], expect[96], id[16];
    char *text;
    struct fixture_result result;
    vt_task *vt;
    bool is_submitted;
};
static struct hack *hacks;
static size_t n_hacks, n_run;
static vt_eval *eval;

static void header(const char *text, const char *key, char *out, size_t n)
{
    char mark[32];
    snprintf(mark, sizeof mark, "// %s: ", key);
    const char *p = strstr(text, mark);
    out[0] = 0;
    if (p)
        snprintf(out, n, "%.*s", (int)strcspn(p + strlen(mark), "\n"), p + strlen(mark));
}

static const char raw_syscall[] =
    "#define raw_syscall(...) raw_syscall_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)\n"
    "#define raw_syscall_(n, a, b, c, d, e, f, ...) \\\n"
    "    raw_syscall7((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))\n"
    "static inline long raw_syscall7(long n, long a, long b, long c, long d, long e, long f)\n"
    "{\n"
    "#if defined(__x86_64__)\n"
    "    register long r10 __asm__(\"r10\") = d, r8 __asm__(\"r8\") = e, r9 __asm__(\"r9\") = f;\n"
    "    __asm__ volatile(\"syscall\" : \"+a\"(n), \"+r\"(r10), \"+r\"(r8), \"+r\"(r9)\n"
    "                     : \"D\"(a), \"S\"(b), \"d\"(c) : \"rcx\", \"r11\", \"memory\");\n"
    "    return n;\n"
    "#else\n"
    "    register long x8 __asm__(\"x8\") = n, x0 __asm__(\"x0\") = a, x1 __asm__(\"x1\") = b, x2 __asm__(\"x2\") = "
    "c;\n"
    "    register long x3 __asm__(\"x3\") = d, x4 __asm__(\"x4\") = e, x5 __asm__(\"x5\") = f;\n"
    "    __asm__ volatile(\"svc 0\" : \"+r\"(x0) : \"r\"(x8), \"r\"(x1), \"r\"(x2), \"r\"(x3), \"r\"(x4), \"r\"(x5)\n"
    "                     : \"memory\");\n"
    "    return x0;\n"
    "#endif\n"
    "}\n";

static bool is_chosen(const char *name)
{
    unsigned h = (unsigned)(time(NULL) / 86400);
    const char *only = getenv("VEGTTT_ONLY");
    if (only)
        return strncmp(name, only, strlen(only)) == 0;
    if (getenv("VEGTTT_FULL"))
        return true;
    for (; *name; name++)
        h = h * 31 + (unsigned char)*name;
    return (h >> 7) % 3 == 0;
}

static void load(void)
{
    char **names;
    size_t n;
    vt_err err;
    CHECK_OK(vt_fs_list(VT_SOURCE_DIR "/tests/hacks", &names, &n, &err), err);
    hacks = calloc(n, sizeof *hacks);
    for (size_t i = 0; i < n; i++) {
        struct vt_buf text;
        char *path = vt_path_join(VT_SOURCE_DIR "/tests/hacks", names[i]);
        size_t len = strlen(names[i]);
        if (len > 2 && strcmp(names[i] + len - 2, ".c") == 0 && is_chosen(names[i])) {
            struct hack *h = &hacks[n_hacks++];
            struct vt_buf whole;
            char with[32];
            CHECK_OK(vt_fs_read(path, 1 << 20, &text, &err), err);
            header(text.p, "with", with, sizeof with);
            vt_buf_init(&whole, 2 << 20);
            vt_buf_printf(&whole, "%s%s", strcmp(with, "raw_syscall") == 0 ? raw_syscall : "", text.p);
            snprintf(h->name, sizeof h->name, "%s", names[i]);
            header(text.p, "task", h->task, sizeof h->task);
            header(text.p, "expect", h->expect, sizeof h->expect);
            header(text.p, "id", h->id, sizeof h->id);
            h->text = vt_buf_take(&whole, NULL);
            vt_buf_free(&whole);
            vt_buf_free(&text);
        }
        free(path);
    }
    vt_fs_list_free(names, n);
    CHECK(n_hacks > 40 || getenv("VEGTTT_ONLY"));
}

static bool is_expected(const struct hack *h)
{
    const char *got = vt_verdict_status_name(h->result.v.status);
    size_t n = strlen(got);
    for (const char *p = h->expect; *p; p += strcspn(p, "|") + (p[strcspn(p, "|")] == '|'))
        if (strcspn(p, "|") == n && memcmp(p, got, n) == 0)
            return true;
    return false;
}

static void all_fixtures(void)
{
    int n_accepted = 0, n_refused = 0, n_other = 0, n_cheats = 0, n_honest = 0;
    vt_err err;
    load();
    for (size_t i = 0; i < n_hacks; i++) {
        struct hack *h = &hacks[i];
        h->vt = fixture_task(h->task);
        if (!h->vt)
            continue;
        fixture_result_init(&h->result);
        struct vt_eval_request r = {.task = h->vt, .code = h->text, .code_len = strlen(h->text)};
        vt_status s = vt_eval_submit(eval, &r, fixture_done, &h->result, &err);
        CHECK_OK(s, err);
        h->is_submitted = s == VT_OK;
    }
    for (size_t i = 0; i < n_hacks; i++) {
        struct hack *h = &hacks[i];
        bool is_honest = strcmp(h->id, "honest") == 0;
        CHECK(h->is_submitted);
        if (!h->is_submitted)
            continue;
        fixture_wait(&h->result);
        n_run++;
        *(is_honest ? &n_honest : &n_cheats) += 1;
        if (h->result.status != VT_OK) {
            printf("  %s: %s\n", h->name, h->result.err.msg);
            CHECK_INT(h->result.status, VT_OK);
        } else if (!is_expected(h)) {
            printf("  %s: %s, expected %s: %s\n", h->name, vt_verdict_status_name(h->result.v.status), h->expect,
                   h->result.feedback);
            *(is_honest ? &n_refused : h->result.v.correct ? &n_accepted : &n_other) += 1;
        } else if (getenv("VEGTTT_VERBOSE")) {
            printf("  %s: %s: %s\n", h->name, vt_verdict_status_name(h->result.v.status), h->result.feedback);
        }
        fixture_result_free(&h->result);
        vt_task_unref(h->vt);
        free(h->text);
    }
    free(hacks);
    printf("  %zu fixtures: %d cheats, %d accepted; %d honest, %d refused; %d with another reason\n", n_run, n_cheats,
           n_accepted, n_honest, n_refused, n_other);
    CHECK_INT(n_accepted, 0);
    CHECK_INT(n_refused, 0);
    CHECK_INT(n_other, 0);
}

static void nothing_is_left(void)
{
    char **names;
    size_t n;
    char mine[64];
    vt_err err;
    vt_eval_close(eval);
    eval = NULL;
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* no child at all */
    snprintf(mine, sizeof mine, "vegttt-eval-%ld-", (long)getpid());
    CHECK_OK(vt_fs_list(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", &names, &n, &err), err);
    for (size_t i = 0; i < n; i++)
        CHECK(strncmp(names[i], mine, strlen(mine)) != 0);
    vt_fs_list_free(names, n);
    CHECK(!vt_fs_exists("/tmp/vegttt-was-here"));
}

static const struct test_case cases[] = {TEST(all_fixtures), TEST(nothing_is_left)};

int main(int argc, char **argv)
{
    return fixture_main(cases, sizeof cases / sizeof cases[0], 2, &eval, argc, argv);
}
