/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_answer.c: answers in which a model corrects itself, shows how its function is used, thinks aloud, or declares
 * the function as few do: which text is judged, and as what.
 */
#include "eval/extract.h"
#include "eval_extract.h"
#include "harness.h"
#include <string.h>

/* `kind`: "body", "function", or one of them with a question mark where a compiler must say. */
static void expect_as(const char *answer, bool is_answer, const char *text, const char *kind)
{
    struct vt_code c, again;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), "relu", is_answer, &c, &err), err);
    CHECK_STR(c.text, text);
    CHECK_STR(c.why, "");
    char is[1024], expected[1024];
    snprintf(is, sizeof is, "%s%s: %s", c.is_whole ? "function" : "body", c.is_doubtful ? "?" : "", c.text);
    snprintf(expected, sizeof expected, "%s: %s", kind, text);
    CHECK_STR(is, expected);
    if (!c.text)
        return;
    CHECK_OK(vt_extract(c.text, c.len, "relu", false, &again, &err), err);
    CHECK_STR(again.text, c.text);
    CHECK(again.is_whole == c.is_whole && again.is_doubtful == c.is_doubtful);
    vt_code_free(&again);
    vt_code_free(&c);
}

#define BLOCK(code) "```c\n" code "\n```\n"
#define RELU "void relu(float *y) {\n    y[0] = f(1);\n}"
#define F(value) "static float f(float v) {\n    return " value ";\n}"

/* Of several versions of a helper the last before the function counts, and behind it a correction; nothing else of its
 * block comes along. */
static void corrected_helpers(void)
{
    expect_body("First:\n" BLOCK(F("v")) "No, that is wrong:\n" BLOCK(F("2 * v")) "So:\n" BLOCK(RELU),
                F("2 * v") "\n\n" RELU);
    expect_body(BLOCK(F("v")) BLOCK(RELU) "The helper must be:\n" BLOCK(F("2 * v")), F("2 * v") "\n\n" RELU);
    expect_body(BLOCK("#define N 4\n" F("v * N")) BLOCK("#define N 8") BLOCK(RELU),
                "#define N 8\n\n" F("v * N") "\n\n" RELU);
    expect_body(BLOCK("#define N 4\nstatic float g(float v) { return v; }\n" F("v * N")) BLOCK(F("g(v)")) BLOCK(RELU),
                "static float g(float v) { return v; }\n\n" F("g(v)") "\n\n" RELU);
    expect_body(BLOCK("static const float k = 1;") BLOCK("static const float k = 2;")
                    BLOCK("void relu(float *y) {\n    y[0] = k;\n}"),
                "static const float k = 2;\n\nvoid relu(float *y) {\n    y[0] = k;\n}");
    /* What the answer's block has itself is its own. */
    expect_body(BLOCK(F("v") "\n" RELU) "For older machines:\n" BLOCK(F("3 * v")), F("v") "\n" RELU);
    expect_body(BLOCK(F("v") "\n" RELU) "Now with two:\n" BLOCK(F("2 * v") "\n" RELU), F("2 * v") "\n" RELU);
}

/* A version behind the function that corrects nothing, or not that helper, leaves it as it was. */
static void other_helpers(void)
{
    static const char *const others[] = {
        "For a leaky one you would write instead:\n" BLOCK(F("2 * v")),
        "For integers:\n" BLOCK("static int f(int v) {\n    return v;\n}"),
        "Corrected:\n" BLOCK("static double f(double v) {\n    return v;\n}"),
        "The old one was wrong, so it is off:\n" BLOCK("#if 0\n" F("2 * v") "\n#endif"),
        "Corrected for AVX2:\n" BLOCK("#ifdef __AVX2__\n" F("2 * v") "\n#endif"),
        "There is nothing wrong with it. Once more:\n" BLOCK(F("2 * v")),
        "Fixed usage:\n" BLOCK(F("2 * v") "\nfor (int i = 0; i < 2; i++)\n    y[i] = f(i);"),
        "This debugs it:\n" BLOCK(F("2 * v"))};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char answer[1024];
        snprintf(answer, sizeof answer, BLOCK(F("v")) BLOCK(RELU) "%s", others[i]);
        expect_body(answer, F("v") "\n\n" RELU);
        snprintf(answer, sizeof answer, BLOCK(F("v") "\n" RELU) "%s", others[i]);
        expect_body(answer, F("v") "\n" RELU);
    }
    /* With none before it the first behind it is meant; what is off is none. */
    expect_body(BLOCK(RELU) "with\n" BLOCK(F("v")) "For a leaky one:\n" BLOCK(F("2 * v")), F("v") "\n\n" RELU);
    expect_body(BLOCK(RELU) "with\n" BLOCK("#ifdef OLD\n" F("v") "\n#endif") BLOCK(F("2 * v")), F("2 * v") "\n\n" RELU);
    /* The original was wrong: the last sentence says what comes. */
    expect_body(
        BLOCK("#define N 1\n" F("v") "\n" RELU) "The original helper is wrong. Use this one:\n" BLOCK(F("2 * v")),
        "#define N 1\n\n" F("2 * v") "\n\n" RELU);
}

/* A definition that no compiler sees, or that says it is no C, is not the answer. */
static void switched_off(void)
{
    static const char *const off[] = {
        "#if 0",        "#ifdef REFERENCE", "#if defined(SLOW)", "#if defined __cplusplus", "#ifndef __CUDACC__\n#else",
        "#if 1\n#else", "#if !1",           "#if PLAIN"};
    static const char *const on[] = {
        "#if 1",        "#ifdef __AVX2__", "#ifndef RELU_H\n#define RELU_H", "#ifndef SLOW",
        "#if 0\n#else", "#if N > 3",       "#define FAST\n#ifdef FAST"};
    static const char *const words[] = {"cuda", "opencl", "metal", "objc", "d", "relu.cu", "anything"};
    const char *other = "void relu(float *y) {\n    y[0] = 2;\n}";
    char answer[1024], expected[1024];
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        snprintf(answer, sizeof answer, BLOCK(RELU) "or\n```c\n%s\n%s\n#endif\n```\n", off[i], other);
        expect_body(answer, RELU);
    }
    for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
        snprintf(answer, sizeof answer, BLOCK(RELU) "or\n```c\n%s\n%s\n#endif\n```\n", on[i], other);
        snprintf(expected, sizeof expected, "%s\n%s\n#endif", on[i], other);
        expect_body(answer, expected);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(answer, sizeof answer, BLOCK(RELU) "or\n```%s\n%s\n```\n", words[i], other);
        expect_body(answer, RELU);
    }
    snprintf(answer, sizeof answer, BLOCK(RELU) "or\n```src/relu.c\n%s\n```\n", other);
    expect_body(answer, other);
}

/* What stands behind the fence that the prompt opened: helpers, and a correction; not the original shown once more. */
static void behind_the_prompt(void)
{
    expect_body("    y[0] = f(1);\n}\n```\nwith\n" BLOCK(F("v")), F("v") "\n\n    y[0] = f(1);");
    expect_body("    y[0] = 1;\n}\n```\nThat is wrong. Corrected:\n" BLOCK(RELU), RELU);
    expect_body("    y[0] = 1;\n}\n```\nIt fixes this bug of the original:\n" BLOCK(RELU), "    y[0] = 1;");
    expect_body("    y[0] = 1;\n}\n```\nOr:\n" BLOCK(RELU), "    y[0] = 1;");
    /* A body's own variable is no helper's name. */
    expect_body("    float f = 1;\n    y[0] = f;\n}\n```\nwith\n" BLOCK(F("v")), "    float f = 1;\n    y[0] = f;");
}

/* The answer's own header is one of its blocks. */
static void files(void)
{
    expect_body("`f.h`:\n" BLOCK(F("v")) "`relu.c`:\n" BLOCK("#include \"f.h\"\n" RELU), F("v") "\n\n" RELU);
    expect_body("```f.h\n" F("v") "\n```\n```relu.c\n#include \"f.h\"\n\n" RELU "\n```\n", F("v") "\n\n" RELU);
    expect_body(BLOCK(F("v")) BLOCK("#include \"unknown.h\"\n" RELU), "#include \"unknown.h\"\n\n" F("v") "\n\n" RELU);
}

static void expect_head(const char *body, const char *head)
{
    char text[512];
    size_t n = vt_body_head(body, strlen(body));
    snprintf(text, sizeof text, "%.*s", (int)n, body);
    CHECK_STR(text, head);
}

/* What of a body goes before the function, since it cannot stand inside one. */
static void heads(void)
{
    expect_head("#include <immintrin.h>\n\n    y[0] = 1;", "#include <immintrin.h>");
    expect_head("#define A 1\n" F("A") "\n    y[0] = f(1);", "#define A 1\n" F("A"));
    expect_head("#pragma GCC target(\"avx2\")\n    y[0] = 1;", "#pragma GCC target(\"avx2\")");
    expect_head("#pragma GCC ivdep\n    for (;;)\n        y[0] = 1;", "");
    expect_head("    y[0] = 1;\n#include <math.h>\n", "");
    expect_head("    const int m = n / 2;\n#include <math.h>\n    y[0] = m;", "");
    expect_head("float f(float v) {\n    return n * v;\n}\n    y[0] = f(1);", ""); /* it sees the parameters */
    expect_head("", "");
}

/* The function alone, written anew: its helpers are those of the block before, whose function is another answer. */
static void corrected_function(void)
{
    expect_body(
        BLOCK("#include <math.h>\n" F("fabsf(v)") "\n\nvoid relu(float *y) {\n    y[1] = f(1);\n}\nint main(void) {\n"
                                                  "    return 0;\n}") "Oops:\n" BLOCK(RELU),
        "#include <math.h>\n" F("fabsf(v)") "\n\n" RELU);
    expect_body(BLOCK("#if 1\n" F("v") "\nvoid relu(float *y) {\n    y[1] = f(1);\n}\n#endif") "Oops:\n" BLOCK(RELU),
                RELU);
    /* Helpers stand behind what they need of the answer's own block, and before what needs them. */
    expect_body(
        BLOCK("typedef float v4 __attribute__((vector_size(16)));\nstatic v4 f(v4 a) { return a + N; }")
            BLOCK("#define N 2\nvoid relu(float *y) {\n    v4 t = f((v4){0});\n    y[0] = t[0];\n}"),
        "#define N 2\n\ntypedef float v4 __attribute__((vector_size(16)));\nstatic v4 f(v4 a) { return a + N; }\n\n"
        "void relu(float *y) {\n    v4 t = f((v4){0});\n    y[0] = t[0];\n}");
    expect_body(BLOCK("#include <math.h>") "and\n" BLOCK("void relu(float *y) {\n    y[0] = fabsf(1);\n}"),
                "#include <math.h>\n\nvoid relu(float *y) {\n    y[0] = fabsf(1);\n}");
    /* Two that need each other, by the prototype of one. */
    expect_body(
        BLOCK("static float g(float);\n" F("v > 9 ? v : g(v)") "\nstatic float g(float v) { return f(v + 1); }")
            BLOCK(RELU),
        "static float g(float);\n" F("v > 9 ? v : g(v)") "\nstatic float g(float v) { return f(v + 1); }\n\n" RELU);
}

/* A block that calls the function shows how it is used, and declares nothing that the function needs. */
static void examples(void)
{
    expect_body(BLOCK("    y[0] = 1;") "Use it so:\n" BLOCK("float y[4];\nrelu(y);"), "    y[0] = 1;");
    expect_body(BLOCK("    y[0] = 1;") "To time it:\n" BLOCK("for (int i = 0; i < 9; i++)\n    relu(y);"),
                "    y[0] = 1;");
    expect_body("```\n    y[0] = 1;\n```\n" BLOCK("relu(y);"), "    y[0] = 1;");
    expect_body(BLOCK("    y[0] = 1;") "Its header:\n" BLOCK("#pragma once\nvoid relu(float *y);"), "    y[0] = 1;");
    expect_body(BLOCK("#define N 8") BLOCK("void relu(float *y) {\n    y[0] = N;\n}")
                    BLOCK("#define N 1024\nstatic float y[N];\nint main(void) { relu(y); }"),
                "#define N 8\n\nvoid relu(float *y) {\n    y[0] = N;\n}");
    /* A prototype is no call, and where there is nothing else a call may be the body's own. */
    expect_body(BLOCK("    y[0] = 2;") BLOCK("void relu(float *y);\n    y[0] = 1;"),
                "void relu(float *y);\n    y[0] = 1;");
    expect_body(BLOCK("    y[0] = 1;\n    if (n > 1)\n        relu(x + 1, y + 1, n - 1);"),
                "    y[0] = 1;\n    if (n > 1)\n        relu(x + 1, y + 1, n - 1);");
}

/* Branches of the preprocessor: each begins as deep as the first, and what is cut out of them takes them along. */
static void branches(void)
{
    static const char both[] = "#ifdef __AVX2__\nvoid relu(float *y) {\n    y[0] = 2;\n}\n#else\n"
                               "void relu(float *y) {\n    y[0] = 1;\n}\n#endif";
    char answer[1024];
    snprintf(answer, sizeof answer, "It has two versions.\n\n%s\n\nThe first is fast.\n", both);
    expect_as(answer, true, both, "function");
    static const char heads[] = "#ifdef __cplusplus\nvoid relu(float *y) {\n#else\n"
                                "void relu(float *restrict y) {\n#endif\n    y[0] = 1;\n}";
    snprintf(answer, sizeof answer, "Here:\n\n%s\nIt is fast.\n", heads);
    expect_as(answer, true, heads, "function");
    snprintf(answer, sizeof answer, "%s\n", heads);
    expect_as(answer, false, answer, "function");
    expect_as("#ifdef __AVX2__\n    for (int i = 0; i < 8; i++) {\n#else\n    for (int i = 0; i < 4; i++) {\n#endif\n"
              "        y[i] = 1; }\n    y[8] = 2; }\nThat is it.\n",
              true,
              "#ifdef __AVX2__\n    for (int i = 0; i < 8; i++) {\n#else\n    for (int i = 0; i < 4; i++) {\n#endif\n"
              "        y[i] = 1; }\n    y[8] = 2;",
              "body");
}

/* Thoughts by any name and in any form; a token of a format that never closes hides the rest. */
static void marks(void)
{
    static const char *const opened[] = {"<|begin_of_thought|>",
                                         "<|start_of_reasoning|>",
                                         "<|think|>",
                                         "<THOUGHTS>",
                                         "<reflection>",
                                         "[REASONING]",
                                         "<unused94>",
                                         "<seed:think>",
                                         "<|start_thinking|>",
                                         "<|channel|>analysis<|message|>"};
    static const char *const closed[] = {
        "<|end_of_thought|>", "<|end_of_reasoning|>", "<|/think|>",    "</THOUGHTS>",      "</reflection>",
        "[/REASONING]",       "<unused95>",           "</seed:think>", "<|end_thinking|>", "<|end|>"};
    char answer[512];
    for (size_t i = 0; i < sizeof opened / sizeof opened[0]; i++) {
        snprintf(answer, sizeof answer, "%s\n" BLOCK("y[0] = 9;") "%s\n\n" BLOCK("y[0] = 1;"), opened[i], closed[i]);
        expect_body(answer, "y[0] = 1;");
        snprintf(answer, sizeof answer, BLOCK("y[0] = 9;") "%s\n    y[0] = 1;\n}\n", closed[i]);
        expect_body(answer, "    y[0] = 1;");
        snprintf(answer, sizeof answer, "%s\n" BLOCK("y[0] = 9;") "and then", opened[i]);
        expect_none(answer, true, "ends before");
    }
    expect_body(BLOCK("y[0] = 1;") "So. <|begin_of_thought|>\n" BLOCK("y[0] = 9;"), "y[0] = 1;");
    expect_body(BLOCK("y[0] = 1;") "So.\n<thoughts>\n" BLOCK("y[0] = 2;"), "y[0] = 2;"); /* no token, so it is text */
    expect_body("    y[0] = a[think]; // <|x|>\n}\n", "    y[0] = a[think]; // <|x|>");
}

/* Three tildes before an operand are C. */
static void tildes(void)
{
    expect_body("    y[0] =\n~~~n;\n    y[1] = 1;\n}\n", "    y[0] =\n~~~n;\n    y[1] = 1;");
    expect_body("    y[0] =\n~~~n\n    + 1;\n}\n", "    y[0] =\n~~~n\n    + 1;");
    expect_body("    y[0] =\n~~~(n + 1);\n}\n", "    y[0] =\n~~~(n + 1);");
    expect_body("~~~c\ny[0] = 1;\n~~~\n~~~text\n1; 2;\n~~~\n", "y[0] = 1;");
}

/* What text is a file, what a body, and what only a compiler can tell. */
static void kinds(void)
{
    static const struct {
        const char *text, *kind;
    } texts[] = {
        {"void (relu)(float *y) { y[0] = 1; }", "function"},
        {"void relu(float *y) __attribute__((noinline)) { y[0] = 1; }", "function"},
        {"static inline void relu(float *y) { y[0] = 1; }", "function"},
        {"void (relu)(y) float *y; { y[0] = 1; }", "function"},
        {"void relu(float *y) QUICK { y[0] = 1; }", "function?"},
        {"#define FN relu\nvoid FN(float *y) { y[0] = 1; }", "function?"},
        {"#define HEAD void relu(float *y)\nHEAD { y[0] = 1; }", "function?"},
        {"#define DEF(a, b) void a##b(float *y)\nDEF(re, lu) { y[0] = 1; }", "function?"},
        {"#define MAKE(f) void f(float *y) { y[0] = 1; }\nMAKE(relu)", "function?"},
        {"#define MAKE(f) void f(float *y) { y[0] = 1; }\nMAKE(relu);", "function?"},
        {"#define BEGIN void relu(float *y) {\n#define END }\nBEGIN for (;;) y[0] = 1; END", "function?"},
        {"#define LOOP(i) for (int i = 0; i < n; i++)\nLOOP(i) { y[i] = 1; }", "body"},
        {"#define ONE(y) (y)[0] = 1\nONE(y);", "body?"},
        {"#define N 8\nfor (int i = 0; i < N; i++) y[i] = 1;", "body"},
        {"float f(float v) { return v; }\ny[0] = f(1);", "body?"},
        {"#define USE(relu) relu\nfloat f(float v) { return v; }\ny[0] = f(USE(1));", "body?"},
        {"void relu(float *y);\ny[0] = 1;", "body"},
        {"{ y[0] = 1; }", "body"},
        {"v8 a = {0}, *b = &a;\ny[0] = a[0];", "body"},
        {"struct p { float x; } q = {1};\ny[0] = q.x;", "body"},
        {"int i;\n{ y[0] = 1; }", "body"},
        {"do { y[0] = 1; } while (0);\nnext: y[1] = 1;", "body"},
        {"#define RUN(x) int x(void)\nRUN(run) { return 0; }", "body?"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_as(texts[i].text, false, texts[i].text, texts[i].kind);
    /* In an answer, with prose around it or between fences. */
    static const char macro[] = "#define FN relu\nvoid FN(float *y) {\n    y[0] = 1;\n}";
    char answer[512];
    snprintf(answer, sizeof answer, "A macro names it.\n\n%s\n\nIt is fast.\n", macro);
    expect_as(answer, true, macro, "function?");
    snprintf(answer, sizeof answer, BLOCK("y[0] = 9;") "Better:\n```c\n%s\n```\n" BLOCK("y[0] = 8;"), macro);
    expect_as(answer, true, macro, "function?");
    snprintf(answer, sizeof answer, BLOCK("%s") BLOCK("void relu(float *y) {}"), macro);
    expect_as(answer, true, "void relu(float *y) {}", "function");
    snprintf(answer, sizeof answer, "```c\n%.*s", (int)sizeof macro - 3, macro);
    expect_none(answer, true, "ends before");
    static const char made[] = "#define MAKE(f) \\\n    void f(float *y) { y[0] = 1; }\nMAKE(relu)";
    snprintf(answer, sizeof answer, "So:\n%s\nThat is it.\n", made);
    expect_as(answer, true, made, "function?");
}

/* Commands of a shell that write the file: what they write. */
static void written_by_a_shell(void)
{
    expect_body("```sh\ncat > relu.c <<'EOF'\n" RELU "\nEOF\ngcc -O3 relu.c\n```\n", RELU);
    expect_body("```bash\ncat <<END >n.h\n#define N 4\nEND\ncat > relu.c <<-\t\"END\"\n" F(
                    "v") "\n" RELU "\n\tEND\n./a.out <<<x\n```\n",
                F("v") "\n" RELU);
    expect_body(BLOCK(RELU) "```sh\ncat >main.c <<EOF\nvoid relu(float *y) { y[0] = 2; }\nEOF\n```\n", RELU);
    /* Nothing ends the text: the block as it is. */
    expect_body("```sh\ncat <<EOF\n" RELU "\n```\n", "cat <<EOF\n" RELU);
}

/* Brackets in two signs: nothing is cut between them. */
static void digraphs(void)
{
    expect_as("It is: void relu(float *y) <% y<:0:> = 1; %> That is it.", true, "void relu(float *y) <% y<:0:> = 1; %>",
              "function");
    expect_as("` n : 1%>; /* } of */\nvoid relu(float *y) <% y[0] = 1;%>; /* } */\n}\n", true,
              "void relu(float *y) <% y[0] = 1;%>", "function");
    expect_body("    y[0] = 1;\n%>\nThat is it; all of it.\n", "    y[0] = 1;");
}

static const struct test_case cases[] = {TEST(corrected_helpers),
                                         TEST(other_helpers),
                                         TEST(switched_off),
                                         TEST(behind_the_prompt),
                                         TEST(files),
                                         TEST(heads),
                                         TEST(corrected_function),
                                         TEST(examples),
                                         TEST(branches),
                                         TEST(marks),
                                         TEST(tildes),
                                         TEST(kinds),
                                         TEST(written_by_a_shell),
                                         TEST(digraphs)};
TEST_MAIN(cases)
