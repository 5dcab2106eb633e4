/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_link.c: from a compiler's object to an image. Each object is made here by the compiler and assembler of the
 * machine, from a harmless kernel and one thing that an honest kernel never has; the linker must name that thing. What
 * honest kernels have (tables of pointers, jump tables, functions of libm, statics of every kind) gives an image whose
 * every fix-up is where the compiler asked for it. The other machine's relocations are held against instructions worked
 * out by hand. The worker's files are compiled into this program: the linker belongs to no library.
 */
#include "base/buf.h"
#include "base/fs.h"
#include "eval/c/worker/link.c"
#include "eval/c/worker/relocate.c"
#include "harness.h"
#include "loop/loop.h"

/* A case that has a `spot` has it reached. */
static const char kernel[] = "void f(float *y) { y[0] = 1.0f; }\n";
static const char reaching[] =
    "extern char spot[];\nvoid f(float *y) { y[0] = 1.0f; __asm__ volatile(\"\" : : \"r\"(spot)); }\n";
static char folder[] = "/tmp/vegttt-link-XXXXXX";
#if defined(__x86_64__)
enum { HERE = EM_X86_64 };
#else
enum { HERE = EM_AARCH64 };
#endif

static bool compile(const char *code, struct vt_buf *out)
{
    char path[128], command[256];
    vt_err err;
    int exit_code = -1;
    snprintf(path, sizeof path, "%s/a.c", folder);
    CHECK_OK(vt_fs_write_atomic(path, code, strlen(code), &err), err);
    snprintf(command, sizeof command,
             "cd %s && ${CC:-cc} -O1 -fPIC -ffunction-sections -fdata-sections -w -c -o a.o a.c", folder);
    const char *const argv[] = {"sh", "-c", command, NULL};
    CHECK_OK(vt_child_run(argv, 60, NULL, NULL, &exit_code, &err), err);
    snprintf(path, sizeof path, "%s/a.o", folder);
    if (exit_code != 0)
        return false;
    CHECK_OK(vt_fs_read(path, 64 << 20, out, &err), err);
    return true;
}

static void link_bytes(const struct vt_buf *object, const char *name, struct link_result *r)
{
    /* Memory that ends with the object: a read past it is seen by a sanitizer. */
    unsigned char *exact = malloc(object->len + (object->len == 0));
    memcpy(exact, object->p, object->len);
    link_object(exact, object->len, HERE, name, r);
    free(exact);
    if (r->end != LINK_OK)
        CHECK(r->image == NULL && (r->end == LINK_NO_MEMORY || r->why[0] != '\0'));
}

#define ASM(text) "__asm__(\"" text "\");\n"
static const struct object {
    const char *name, *code, *says; /* says: NULL = it passes */
} objects[] = {
    {"honest", "", NULL},
    {"libm", "float expf(float);\nfloat g(float x) { return expf(x); }\n", NULL},
    {"pointer to libm", "float expf(float);\nfloat (*const table[2])(float) = {expf, expf};\n", NULL},
    {"weak helper", "__attribute__((weak)) int g(int x) { return x + 1; }\nint h(int x) { return g(x); }\n", NULL},
    {"unplaced section that is empty", ASM(".section .mine,\\\"a\\\"\\n.text"), NULL},
    {"constructor", "__attribute__((constructor)) static void g(void) { __asm__ volatile(\"\"); }\n", "a constructor"},
    {"init array by hand", ASM(".section .init_array,\\\"aw\\\"\\n.quad f\\n.text"), "a constructor"},
    {".ctors", ASM(".section .ctors,\\\"aw\\\"\\n.quad f\\n.text"), "a constructor"},
    {".init", ASM(".section .init,\\\"ax\\\"\\n.quad 0\\n.text"), "a constructor"},
    {"destructor", "__attribute__((destructor)) static void g(void) { __asm__ volatile(\"\"); }\n", "a destructor"},
    {".fini", ASM(".section .fini,\\\"ax\\\"\\n.quad 0\\n.text"), "a destructor"},
    {".dynamic", ASM(".section .dynamic,\\\"aw\\\"\\n.quad 4, 0x2000\\n.text"), "a section .dynamic"},
    {".got", ASM(".section .got,\\\"aw\\\"\\n.quad 0\\n.text"), "a section .got"},
    {".plt", ASM(".section .plt,\\\"ax\\\"\\n.quad 0\\n.text"), "a section .plt"},
    {".rela.dyn", ASM(".section .rela.dyn,\\\"a\\\"\\n.quad 0\\n.text"), "a section .rela.dyn"},
    {"code among constants", ASM(".section .rodata.mine,\\\"ax\\\"\\n.quad 0\\n.text"), "a section .rodata.mine"},
    {"a name with signs", ASM(".section \\\"a;b`c\\\",\\\"aw\\\"\\n.quad 0\\n.text"), "a section a?b?c, which"},
    {"ifunc",
     "static void one(void) {}\nstatic void *pick(void) { return one; }\n"
     "void g(void) __attribute__((ifunc(\"pick\")));\n",
     "indirect function"},
    {"thread-local", "_Thread_local int v;\nint *g(void) { return &v; }\n", "thread-local"},
    {"executable stack", ASM(".section .note.GNU-stack,\\\"x\\\"\\n.text"), "executable stack"},
    {"writable code", ASM(".section .text.w,\\\"awx\\\"\\n.quad 0\\n.text"), "writable code"},
    {"common", ASM(".comm spot,4096") "", "outside its code and data"},
    {"absolute",
     ASM(".globl far_away\\n.set far_away, 0x1234") "extern char far_away[];\nchar *g(void) { return far_away; }\n",
     "outside its code and data"},
    {"address beyond", ASM(".data\\n.globl spot\\nspot: .quad f + 0x40000000\\n.text"), "outside its code and data"},
    {"address before", ASM(".data\\n.globl spot\\nspot: .quad f - 1\\n.text"), "outside its code and data"},
    {"function with an offset", ASM(".data\\n.globl spot\\nspot: .quad expf + 8\\n.text"), "outside its code and data"},
    {"a frame table's section",
     "extern int g(void);\n" ASM(
         ".section .eh_frame,\\\"a\\\"\\nframe: .quad 0\\n.data\\n.globl spot\\nspot: .quad frame\\n.text"),
     "outside its code and data"},
    {"zeros", "char spot[3l << 30];\n", "more than 1 GiB"},
    {"data", ASM(".data\\n.globl spot\\nspot: .fill 17 << 20, 1, 1\\n.text"), "more than 16 MiB"},
    {"alignment", ASM(".data\\n.balign 8192\\n.globl spot\\nspot: .quad 0\\n.text"), "alignment beyond a page"},
    {"names",
     ASM(".altmacro\\n.macro many n\\n.globl v\\\\n\\nv\\\\n: .quad 0\\n.endm\\n.data\\n.set i, 0\\n"
         ".rept 5000\\nmany %i\\n.set i, i + 1\\n.endr\\n.noaltmacro\\n.text"),
     "more than 4,096 names"},
#if defined(__x86_64__)
    {"absolute 32 bits", ASM(".globl spot\\nspot: movl $f, %eax"), "unusual kind"},
    {"table offset", ASM(".globl spot\\nspot: movabs $_GLOBAL_OFFSET_TABLE_, %rax"), "unusual kind"},
#endif
};

static void each_is_refused_for_what_it_is(void)
{
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        const struct object *o = &objects[i];
        char code[2048];
        struct vt_buf object;
        struct link_result r;
        snprintf(code, sizeof code, "%s%s", strstr(o->code, "spot") ? reaching : kernel, o->code);
        if (!compile(code, &object)) {
            printf("  not made here: %s\n", o->name);
            CHECK(o->says != NULL);
            continue;
        }
        link_bytes(&object, "f", &r);
        if (!o->says != (r.end == LINK_OK) || (o->says && (r.end != LINK_REFUSED || !strstr(r.why, o->says)))) {
            printf("  %s: end %d\n", o->name, (int)r.end);
            CHECK_STR(r.why, o->says ? o->says : "");
        }
        free(r.image);
        vt_buf_free(&object);
    }
}

/* What the function does not reach is not there: neither its bytes nor its wishes. */
static void only_what_is_reached(void)
{
    static const char alone[] = "float f(float x) { return x + 1; }\n";
    struct vt_buf object;
    struct link_result a, b;
    char code[1024];
    snprintf(code, sizeof code,
             "int system(const char *, ...);\nfloat expf(float);\nchar big[1 << 20] = {1};\nextern int missing;\n%s"
             "void show(float x) { system(\"%%g %%d\", expf(x), missing); }\nint main(void) { show(f(big[0])); return "
             "0; }\n",
             alone);
    CHECK(compile(alone, &object));
    link_bytes(&object, "f", &a);
    vt_buf_free(&object);
    CHECK(compile(code, &object));
    link_bytes(&object, "f", &b);
    CHECK_INT(a.end, LINK_OK);
    CHECK_INT(b.end, LINK_OK);
    CHECK(a.image_len == b.image_len && memcmp(a.image, b.image, a.image_len) == 0);
    free(a.image);
    free(b.image);
    link_bytes(&object, "show", &b);
    CHECK_INT(b.end, LINK_UNDEFINED);
    CHECK(strstr(b.why, "`system'") && strstr(b.why, "`missing'"));
    vt_buf_free(&object);
}

static void functions_that_are_not_there(void)
{
    struct vt_buf object;
    struct link_result r;
    CHECK(compile("void system(void);\nint fork(void);\nvoid *dlsym(void);\nvoid f(void) { system(); fork(); fork(); "
                  "dlsym(); }\n",
                  &object));
    link_bytes(&object, "f", &r);
    CHECK_INT(r.end, LINK_UNDEFINED);
    CHECK(strstr(r.why, "undefined reference to `system': a kernel can call") == r.why);
    CHECK(strstr(r.why, "`fork'") && strstr(r.why, "`dlsym'"));
    vt_buf_free(&object);
    /* The entry: there, global, visible, in code. */
    static const struct {
        const char *code, *says;
    } entries[] = {{"void g(void) {}", "no function f"},
                   {"static void f(void) {}\nvoid g(void) { f(); }", "no function f"},
                   {"__attribute__((visibility(\"hidden\"))) void f(void) {}", "no function f"},
                   {"char f[4] = {1};", "f is no function"},
                   {"extern void f(void);\nvoid (*g)(void) = f;", "no function f"}};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        CHECK(compile(entries[i].code, &object));
        link_bytes(&object, "f", &r);
        CHECK_INT(r.end, LINK_REFUSED);
        CHECK(strstr(r.why, entries[i].says) != NULL);
        vt_buf_free(&object);
    }
}

/* Lengths, alignments and fix-ups of an object whose parts are known. */
static void an_image_of_known_parts(void)
{
    struct vt_buf object;
    struct link_result r;
    struct vt_image_head h;
    int n[VT_N_FIX_KINDS] = {0};
    CHECK(compile(
        "float expf(float);\n"
        "static const float table[64] __attribute__((aligned(256))) = {1.0f};\n"
        "static float zeros[1000], set = 2.0f;\n"
        "static float *const where[3] = {zeros, zeros + 7, &set};\n"
        "float logf(float);\nstatic float (*const what[2])(float) = {logf, expf};\n"
        "float f(int i) { zeros[i] += set; return table[i & 63] + *where[i % 3] + what[i & 1](0) + expf(i); }\n",
        &object));
    link_bytes(&object, "f", &r);
    CHECK_INT(r.end, LINK_OK);
    CHECK(vt_image_check(r.image, r.image_len, &h) == NULL);
    CHECK_INT(h.data_align, HERE == EM_X86_64 ? 256 : VT_IMAGE_PAGE);
    CHECK_INT(h.rw_len, 4);
    CHECK(h.zeros_len >= 4000 && h.zeros_len < 4100);
    CHECK(h.ro_len >= 256 + 4 * 8 + 8);
    for (uint32_t i = 0; i < h.n_fixes; i++) {
        struct vt_image_fix fix;
        memcpy(&fix, r.image + sizeof h + i * sizeof fix, sizeof fix);
        n[fix.kind]++;
        if (fix.kind == VT_FIX_SLOT)
            CHECK(fix.target == VT_SLOT_expf || fix.target == VT_SLOT_logf);
    }
    CHECK_INT(n[VT_FIX_ADDRESS], 3); /* where[] */
    CHECK_INT(n[VT_FIX_SLOT], 3);    /* what[], and the table entry behind the call */
    CHECK(HERE != EM_X86_64 || n[VT_FIX_DISTANCE] >= 4);
    /* Every field of the table that lies is refused by whoever reads the image. */
    for (size_t at = 0; at < sizeof h; at++) {
        struct vt_image_head read;
        unsigned char was = r.image[at];
        for (int bit = 0; bit < 8; bit++) {
            r.image[at] = (unsigned char)(was ^ (1 << bit));
            if (vt_image_check(r.image, r.image_len, &read) == NULL) /* these say nothing about where bytes lie */
                CHECK(
                    (at >= offsetof(struct vt_image_head, zeros_len) && at < offsetof(struct vt_image_head, n_fixes)));
        }
        r.image[at] = was;
    }
    for (size_t len = 0; len < r.image_len; len++)
        CHECK(vt_image_check(r.image, len, &h) != NULL);
    free(r.image);
    vt_buf_free(&object);
}

/* Any damage to an object gives a refusal or an image that passes the check; nothing outside is read. */
static void damage_is_refused_or_harmless(void)
{
    struct vt_buf object;
    struct link_result r;
    struct vt_image_head h;
    int n_images = 0;
    CHECK(
        compile("float expf(float);\nstatic float zeros[100];\nstatic float *const p[2] = {zeros, zeros + 1};\n"
                "float f(int i) { switch (i) { case 0: return expf(2); case 1: return *p[i]; case 2: return 3; case 3: "
                "return zeros[i]; case 4: return 7; default: return 5; } }\n",
                &object));
    for (size_t at = 0; at < object.len; at++) {
        const char was = object.p[at];
        static const unsigned char change[] = {0x01, 0x80, 0xff};
        for (size_t k = 0; k < sizeof change; k++) {
            object.p[at] = (char)((unsigned char)was ^ change[k]);
            link_bytes(&object, "f", &r);
            CHECK(r.end != LINK_OK || vt_image_check(r.image, r.image_len, &h) == NULL);
            n_images += r.end == LINK_OK;
            free(r.image);
        }
        object.p[at] = was;
    }
    CHECK(n_images > 100); /* names, comments and the code itself are free */
    for (size_t len = object.len; len-- > 0;) {
        object.len = len;
        link_bytes(&object, "f", &r);
        CHECK(r.end != LINK_OK);
        free(r.image);
    }
    vt_buf_free(&object);
}

static uint32_t patched(uint16_t machine, uint32_t type, uint32_t word, uint64_t from, uint64_t to)
{
    unsigned char at[4];
    memcpy(at, &word, sizeof at);
    CHECK(reloc_write(machine, type, at, from, to));
    memcpy(&word, at, sizeof word);
    return word;
}

/* Encodings by the architecture's manual. */
static void relocations_of_both_machines(void)
{
    unsigned char at[4] = {0};
    CHECK_INT(patched(EM_X86_64, R_X86_64_PC32, 0xffffffff, 0x1000, 0x0ffc), 0xfffffffc);
    CHECK_INT(patched(EM_X86_64, R_X86_64_GOTPCREL, 0, 0x1000, 0x3010), 0x2010);
    CHECK(!reloc_write(EM_X86_64, R_X86_64_PC32, at, 0, 1ull << 31));
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_CALL26, 0x94000000, 0x1000, 0x2000), 0x94000400);   /* bl */
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_JUMP26, 0x14000000, 0x2000, 0x1ffc), 0x17ffffff);   /* b */
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_CONDBR19, 0x54000001, 0x1000, 0x1010), 0x54000081); /* b.ne */
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_TSTBR14, 0x36000000, 0x1000, 0x1008), 0x36000040);  /* tbz */
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, 0x90000000, 0x1ffc, 0x12345), 0x90000080 | 1u << 29);
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_ADR_PREL_LO21, 0x10000000, 0x1000, 0x1005), 0x30000020); /* adr */
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_ADD_ABS_LO12_NC, 0x91000000, 0, 0x12345), 0x910d1400);   /* add #0x345 */
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_LDST32_ABS_LO12_NC, 0xb9400000, 0, 0x12344), 0xb9434400);
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_LDST64_ABS_LO12_NC, 0xf9400000, 0, 0x12348), 0xf941a400);
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc00000, 0, 0x12340), 0x3dc0d000);
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_LD64_GOT_LO12_NC, 0xf9400000, 0, 0x2ff8), 0xf947fc00);
    CHECK_INT(patched(EM_AARCH64, R_AARCH64_PREL32, 0, 0x1000, 0x0ff0), 0xfffffff0);
    CHECK(!reloc_write(EM_AARCH64, R_AARCH64_LDST64_ABS_LO12_NC, at, 0, 0x12344)); /* not aligned */
    CHECK(!reloc_write(EM_AARCH64, R_AARCH64_CALL26, at, 0, 1ull << 28));
    CHECK(!reloc_write(EM_AARCH64, R_AARCH64_CONDBR19, at, 0, 1ull << 20));
    CHECK_INT(reloc_form(EM_AARCH64, 1032), RELOC_UNKNOWN); /* IRELATIVE */
    CHECK_INT(reloc_form(EM_X86_64, R_X86_64_IRELATIVE), RELOC_UNKNOWN);
    CHECK_INT(reloc_form(EM_X86_64, R_X86_64_RELATIVE), RELOC_UNKNOWN);
    CHECK_INT(reloc_form(EM_X86_64, R_X86_64_COPY), RELOC_UNKNOWN);
    CHECK_INT(reloc_form(EM_X86_64, R_X86_64_TPOFF32), RELOC_UNKNOWN);
}

/* slot_of looks them up by halves. */
static void functions_are_in_order(void)
{
#define NAME(name) #name,
    static const char *const names[VT_N_SLOTS] = {VT_SLOTS(NAME)};
    for (int i = 0; i < VT_N_SLOTS; i++) {
        CHECK(i == 0 || strcmp(names[i - 1], names[i]) < 0);
        CHECK_INT(slot_of(names[i]), i);
    }
    CHECK_INT(slot_of("expg"), -1);
    CHECK_INT(slot_of(""), -1);
    CHECK_INT(slot_of("system"), -1);
}

/* Shifts are multiples of the alignment, below a page, and spread; placement 0 moves nothing. */
static void placements_spread(void)
{
    bool seen[VT_IMAGE_PAGE / 16] = {false};
    int n = 0;
    CHECK_INT(vt_image_shift(0, 16, 1), 0);
    for (uint32_t p = 1; p <= 4000; p++) {
        uint32_t shift = vt_image_shift(p, 16, 1);
        CHECK(shift < VT_IMAGE_PAGE && shift % 16 == 0);
        n += !seen[shift / 16];
        seen[shift / 16] = true;
        CHECK_INT(vt_image_shift(p, VT_IMAGE_PAGE, 1), 0);
    }
    CHECK_INT(n, VT_IMAGE_PAGE / 16);
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

static const struct test_case cases[] = {TEST(set_up),
                                         TEST(each_is_refused_for_what_it_is),
                                         TEST(only_what_is_reached),
                                         TEST(functions_that_are_not_there),
                                         TEST(an_image_of_known_parts),
                                         TEST(damage_is_refused_or_harmless),
                                         TEST(relocations_of_both_machines),
                                         TEST(functions_are_in_order),
                                         TEST(placements_spread),
                                         TEST(clean_up)};
TEST_MAIN(cases)
