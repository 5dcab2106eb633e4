/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_object.c: which shared objects may be loaded. Each is built here, by the compiler and linker of the machine,
 * from a harmless kernel and one thing that an honest kernel never has; the inspection must name that thing. An object
 * with none of them passes.
 */
#include "base/buf.h"
#include "base/fs.h"
#include "eval/c/object.h"
#include "harness.h"
#include "loop/loop.h"
#include <elf.h>

static const char kernel[] = "void f(float *y) { y[0] = 1.0f; }\n";
static char folder[] = "/tmp/vegttt-object-XXXXXX";

static const struct object {
    const char *name, *code, *options, *says; /* says: NULL = it passes */
} objects[] = {
    {"honest", "", "", NULL},
    {"libm", "#include <math.h>\nfloat g(float x) { return expf(x); }\n", "-lm", NULL},
    {"constructor", "__attribute__((constructor)) static void g(void) { __asm__ volatile(\"\"); }\n", "",
     "a constructor"},
    {"preinit", "void g(void) {}\n", "-Wl,-init,g", "a constructor"},
    {"destructor", "__attribute__((destructor)) static void g(void) { __asm__ volatile(\"\"); }\n", "", "a destructor"},
    {"fini", "void g(void) {}\n", "-Wl,-fini,g", "a destructor"},
    {"library", "", "-Wl,--no-as-needed -lpthread -ldl", NULL}, /* on this machine they may be libc itself */
    {"other_library", "void other(void);\nvoid g(void) { other(); }\n", "-L. -lother", "another library"},
    {"runpath", "", "-Wl,--enable-new-dtags -Wl,-rpath,/tmp", "other libraries"},
    {"rpath", "", "-Wl,--disable-new-dtags -Wl,-rpath,/tmp", "other libraries"},
    {"auxiliary", "", "-Wl,-f,libother.so", "other libraries"},
    {"filter", "", "-Wl,-F,libother.so", "other libraries"},
    {"audit", "", "-Wl,--audit,libother.so", "other libraries"},
    {"stack", "", "-Wl,-z,execstack", "executable stack"},
    {"ifunc",
     "static void one(void) {}\nstatic void *pick(void) { return one; }\n"
     "void g(void) __attribute__((ifunc(\"pick\")));\n",
     "", "indirect function"},
    {"hidden_ifunc",
     "static void one(void) {}\nstatic void *pick(void) { return one; }\n"
     "static void g(void) __attribute__((ifunc(\"pick\")));\nvoid h(void) { g(); }\n",
     "", "indirect function"},
    {"pointer_ifunc",
     "static void one(void) {}\nstatic void *pick(void) { return one; }\n"
     "static void g(void) __attribute__((ifunc(\"pick\")));\nvoid (*h)(void) = g;\n",
     "", "indirect function"},
    {"relr", "static int a[4];\nint *volatile pa[2] = {&a[1], &a[2]};\n", "-Wl,-z,pack-relative-relocs",
     "relocations of an unusual kind"},
    {"program", "int main(void) { return 0; }\n", "-pie -Wl,-e,main", "it is a program"},
};

/* The compiler's exit code; it runs in the folder and says what it has to say to standard error. */
static int compile(const char *code, const char *out, const char *options)
{
    char source[128], text[2048], command[512];
    vt_err err;
    int exit_code = -1;
    snprintf(source, sizeof source, "%s/%s.c", folder, out);
    snprintf(text, sizeof text, "%s%s", kernel, code);
    CHECK_OK(vt_fs_write_atomic(source, text, strlen(text), &err), err);
    snprintf(command, sizeof command, "cd %s && ${CC:-cc} -O1 -fPIC -nostartfiles %s -o lib%s.so %s.c %s", folder,
             strstr(options, "-pie") ? "" : "-shared", out, out, options);
    const char *const argv[] = {"sh", "-c", command, NULL};
    CHECK_OK(vt_child_run(argv, 60, NULL, NULL, &exit_code, &err), err);
    return exit_code;
}

static void inspect(const char *name, struct vt_object_info *info)
{
    char path[128];
    struct vt_buf bytes;
    vt_err err;
    snprintf(path, sizeof path, "%s/lib%s.so", folder, name);
    memset(info, 0, sizeof *info);
    vt_status s = vt_fs_read(path, 16 << 20, &bytes, &err);
    CHECK_OK(s, err);
    if (s != VT_OK)
        return;
    vt_object_inspect((const unsigned char *)bytes.p, bytes.len, info);
    vt_buf_free(&bytes);
}

/* A linker that does not know an option makes no object: then there is none to refuse, and it is said. */
static void each_is_refused_for_what_it_is(void)
{
    struct vt_object_info info;
    CHECK_INT(compile("void other(void) {}\n", "other", ""), 0);
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        const struct object *o = &objects[i];
        if (compile(o->code, o->name, o->options) != 0) {
            printf("  not made here: %s\n", o->name);
            CHECK(o->options[0] != '\0');
            continue;
        }
        inspect(o->name, &info);
        if (!o->says && info.refused[0]) {
            printf("  %s: %s\n", o->name, info.refused);
            CHECK(!info.refused[0]);
        } else if (o->says && !strstr(info.refused, o->says)) {
            printf("  %s:\n", o->name);
            CHECK_STR(info.refused, o->says);
        }
    }
}

/* No linker makes writable code willingly: the flag is set afterwards. */
static void writable_code_is_refused(void)
{
    char path[128];
    struct vt_buf bytes;
    struct vt_object_info info;
    Elf64_Ehdr head;
    Elf64_Phdr ph;
    vt_err err;
    snprintf(path, sizeof path, "%s/libhonest.so", folder);
    CHECK_OK(vt_fs_read(path, 16 << 20, &bytes, &err), err);
    memcpy(&head, bytes.p, sizeof head);
    for (unsigned i = 0; i < head.e_phnum; i++) {
        char *at = bytes.p + head.e_phoff + i * sizeof ph;
        memcpy(&ph, at, sizeof ph);
        if (ph.p_type != PT_LOAD || !(ph.p_flags & PF_X))
            continue;
        ph.p_flags |= PF_W;
        memcpy(at, &ph, sizeof ph);
    }
    vt_object_inspect((const unsigned char *)bytes.p, bytes.len, &info);
    CHECK(strstr(info.refused, "writable code") != NULL);
    vt_buf_free(&bytes);
}

/* The digest is of the instructions: names and data are free, one other instruction is another text. */
static void digests(void)
{
    struct vt_object_info a, b, c;
    CHECK_INT(compile("const int data = 1;\nint g(int x) { return x + 1; }\n", "a", ""), 0);
    CHECK_INT(compile("const int other = 2;\nint h(int x) { return x + 1; }\n", "b", ""), 0);
    CHECK_INT(compile("const int data = 1;\nint g(int x) { return x + 2; }\n", "c", ""), 0);
    inspect("a", &a);
    inspect("b", &b);
    inspect("c", &c);
    CHECK_STR(a.text_sha, b.text_sha);
    CHECK(strcmp(a.text_sha, c.text_sha) != 0);
    CHECK(a.text_len > 0 && strlen(a.text_sha) == 64);
}

/* A relocation may be of any symbol, so its number may lie anywhere: damage is refused, never read. */
static void damage_is_refused_or_harmless(void)
{
    char path[128];
    struct vt_buf bytes;
    struct vt_object_info info;
    vt_err err;
    snprintf(path, sizeof path, "%s/liblibm.so", folder);
    CHECK_OK(vt_fs_read(path, 16 << 20, &bytes, &err), err);
    unsigned char *copy = malloc(bytes.len);
    for (size_t at = 0; at < bytes.len; at++)
        for (int k = 0; k < 2; k++) {
            memcpy(copy, bytes.p, bytes.len);
            copy[at] = k ? 0xff : (unsigned char)(copy[at] ^ 1);
            vt_object_inspect(copy, bytes.len, &info);
        }
    for (size_t n = 0; n < bytes.len; n += 5) {
        unsigned char *part = malloc(n ? n : 1);
        memcpy(part, bytes.p, n);
        vt_object_inspect(part, n, &info);
        free(part);
    }
    free(copy);
    vt_buf_free(&bytes);
}

static void clean_up(void)
{
    vt_err err;
    CHECK_OK(vt_fs_remove_tree(folder, &err), err);
}

static void set_up(void)
{
    CHECK(mkdtemp(folder) != NULL);
}

static const struct test_case cases[] = {
    TEST(set_up),  TEST(each_is_refused_for_what_it_is), TEST(writable_code_is_refused),
    TEST(digests), TEST(damage_is_refused_or_harmless),  TEST(clean_up)};
TEST_MAIN(cases)
