/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_text.c: the parts of the evaluator that work on text and bytes: finding code in answers,
 * reading compiler logs, judging objects. Real compiler logs and objects are made by the compiler of this machine in
 * eval_judge.c; here are the cases that are easier to write down, damaged ones among them.
 */
#include "base/fs.h"
#include "eval/c/diagnostics.h"
#include "eval/c/object.h"
#include "eval/c/roofline.h"
#include "eval/extract.h"
#include "eval_extract.h"
#include "eval_fixture.h"

static size_t behind_blanks(const struct vt_code *c, size_t n)
{
    while (n < c->len && (c->text[n] == ' ' || c->text[n] == '\n' || c->text[n] == '\r'))
        n++;
    return n;
}

/* from, to and first_line must say where the text stands: the bytes they name are the text but for blanks. */
static void expect_from(const char *answer, const char *name, bool is_answer, const char *text, bool is_whole,
                        int first_line)
{
    struct vt_code c, again;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), name, is_answer, &c, &err), err);
    CHECK_STR(c.text, text);
    CHECK_STR(c.why, "");
    CHECK_INT(c.is_whole, is_whole);
    CHECK_INT(c.first_line, first_line);
    if (!c.text)
        return;
    CHECK_INT(c.len, strlen(text));
    CHECK(c.from <= c.to && c.to <= strlen(answer));
    size_t n = behind_blanks(&c, 0);
    for (size_t i = c.from; i < c.to && n < c.len; i++)
        n = behind_blanks(&c, n + (c.text[n] == answer[i]));
    CHECK_INT(n, c.len);
    /* What comes out goes through unchanged when it is judged. */
    CHECK_OK(vt_extract(c.text, c.len, name, false, &again, &err), err);
    CHECK_STR(again.text, text);
    CHECK_INT(again.is_whole, is_whole);
    vt_code_free(&again);
    vt_code_free(&c);
}

static void expect_code(const char *answer, bool is_answer, const char *text, bool is_whole, int first_line)
{
    expect_from(answer, "relu", is_answer, text, is_whole, first_line);
}

/* A body that is there and blank is no candidate either, but it is known where it stands. */
static void expect_blank(const char *answer, bool is_answer, const char *text)
{
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), "relu", is_answer, &c, &err), err);
    CHECK_STR(c.text, text);
    CHECK(strstr(c.why, "no code") != NULL);
    vt_code_free(&c);
}

/* What of a body reaches the compiler. */
static void expect_compiled(const char *body, const char *text)
{
    size_t n = vt_body_length(body, strlen(body));
    CHECK(n == strlen(text) && strncmp(body, text, n) == 0);
}

/* Bodies that go on where the prompt ended: up to the first line that is only a brace, without the line end before. */
static void bodies(void)
{
    expect_code("    y[0] = 1;\n", false, "    y[0] = 1;\n", false, 1);
    expect_code("    y[0] = 1;\n}\n", true, "    y[0] = 1;", false, 1);
    expect_code("    y[0] = 1;\n}", true, "    y[0] = 1;", false, 1);
    expect_code("    y[0] = 1;  \n\n} \t\n", true, "    y[0] = 1;  \n", false, 1);
    expect_code("\n    y[0] = 1;\n}\n", true, "\n    y[0] = 1;", false, 1);
    expect_code("    if (n) {\n        y[0] = 1;\n    }\n}\n```\nThis is faster; it is }.", true,
                "    if (n) {\n        y[0] = 1;\n    }", false, 1);
    expect_code("    y[0] = '}'; /* } */ // }\n    y[1] = \"}\"[0];\n}\n", true,
                "    y[0] = '}'; /* } */ // }\n    y[1] = \"}\"[0];", false, 1);
    expect_code("    y[0] = 1;\n```\nnot code;", true, "    y[0] = 1;", false, 1);
    expect_code("    y[0] = relu_one(x[0]);\n}\n", true, "    y[0] = relu_one(x[0]);", false, 1);
    /* Braces without indentation, inside and at the end; a brace beside code. */
    expect_code("for (int i = 0; i < n; i++) {\ny[i] = x[i];\n}\nreturn;\n}\n", true,
                "for (int i = 0; i < n; i++) {\ny[i] = x[i];\n}\nreturn;", false, 1);
    expect_code("    for (int i = 0; i < n; i++) {\n        y[i] = 1; }}\nThat is all.\n", true,
                "    for (int i = 0; i < n; i++) {\n        y[i] = 1; }", false, 1);
    /* A brace too many stays in what the model wrote, and is where the judge cuts. */
    expect_code("    y[0] = 1;\n  }\n}\n", true, "    y[0] = 1;\n  }", false, 1);
    expect_compiled("    y[0] = 1;\n  }", "    y[0] = 1;");
    expect_compiled("    y[0] = 1;\n}\nint main(void) {\n    return 0;\n", "    y[0] = 1;");
    expect_compiled("    y[0] = '}'; /* } */ {\n    }", "    y[0] = '}'; /* } */ {\n    }");
    expect_blank("}\nint main(void) {\n    return 0;\n", false, "}\nint main(void) {\n    return 0;\n");
    expect_code("    y[0] = 1;\n  }\n\nint main(void) {\n    return 0; }\n", true, "    y[0] = 1;", false, 1);
    expect_code("    y[0] = 1; }", true, "    y[0] = 1;", false, 1);
    /* Braces that never close: the first line that is only one, as the stop of the default prompt has it. */
    expect_code("    for (;;) {\n        if (n) {\n            y[0] = 1;\n}\n", true,
                "    for (;;) {\n        if (n) {\n            y[0] = 1;", false, 1);
    expect_code("#define OPEN {\n    y[0] = 1;\n}\n", true, "#define OPEN {\n    y[0] = 1;", false, 1);
    /* A body is a body whatever it says, when its brace has a line of its own. */
    expect_blank("}\n", true, "");
    expect_blank("  // nothing\n}\n", true, "  // nothing");
    expect_code("  if (n) {}\n}\n", true, "  if (n) {}", false, 1);
    /* A sentence or a tag before it, but never a comment or a label. */
    expect_code("Here is the faster body:\n\n    y[0] = 1;\n}\n", true, "    y[0] = 1;", false, 3);
    expect_code("<answer>\n    y[0] = 1;\n}\n</answer>", true, "    y[0] = 1;", false, 2);
    expect_code("// It is one value.\nx:\n    y[0] = 1;\n}\n", true, "// It is one value.\nx:\n    y[0] = 1;", false,
                1);
}

static const char whole[] =
    "static float f(float v) { return v; }\nvoid relu(const float *x, float *y, int n) {\n    y[0] = f(x[0]);\n}";

static void fenced(void)
{
    char answer[2048];
    snprintf(answer, sizeof answer, "Sure; here it is:\n\n```c\n%s\n```\nIt is fast.\n", whole);
    expect_code(answer, true, whole, true, 4);
    expect_code(answer, false, whole, true, 4); /* fences are no C */
    expect_from(answer, NULL, true, whole, true, 4);
    snprintf(answer, sizeof answer, "```\nint a;\n```\nand\n```c\n%s\n```\nthen\n```\nint b;\n```\n", whole);
    expect_code(answer, true, whole, true, 6);
    snprintf(answer, sizeof answer, "```c\n%s", whole);
    expect_code(answer, true, whole, true, 2);
    snprintf(answer, sizeof answer, "```c\n%s\nThis is fa", whole);
    expect_code(answer, true, whole, true, 2);
    expect_code("First:\n```c\ny[0] = 1;\n```\nBetter:\n```c\ny[0] = 2;\n```\n", true, "y[0] = 2;", false, 7);
    expect_code(whole, false, whole, true, 1);
    /* A call or a prototype is no definition. */
    expect_code("void relu(const float *x, float *y, int n);\nrelu(x, y, n);\n", false,
                "void relu(const float *x, float *y, int n);\nrelu(x, y, n);\n", false, 1);
    /* What the C block says counts, not the commands and the output around it, in whatever order. */
    expect_body("```bash\ngcc -O3 a.c; ./a;\n```\n```c\ny[0] = 1;\n```\n```text\n1; 2;\n```\n", "y[0] = 1;");
    expect_body("```C++\ny[0] = 1;\n}\n```\n```\n./a; ./b;\n```\n", "y[0] = 1;");
    expect_body("```diff\n-y[0] = 1;\n```\n```\ny[0] = 2;\n```\n", "y[0] = 2;");
    /* Another word, when there is nothing else. */
    expect_body("```kernel\ny[0] = 1;\n```\n", "y[0] = 1;");
    snprintf(answer, sizeof answer, "Run it:\n```c\nint a;\n```\n```text\n%s\n```\n", whole);
    expect_code(answer, true, whole, true, 6);
    /* Longer fences, other fences, fences beside text, a list's indentation, one that was forgotten. */
    snprintf(answer, sizeof answer, "````md\n```c\n%s\n```\n````\n", whole);
    expect_body(answer, whole);
    expect_body("````c\ny[0] = 1;\n/*\n```\n*/\ny[1] = 2;\n````\n", "y[0] = 1;\n/*\n```\n*/\ny[1] = 2;");
    expect_body("~~~c\ny[0] = '`';\n```\n~~~\n", "y[0] = '`';\n```");
    expect_body("Here: ```c\ny[0] = 1;```\nuse ```-O3``` with it", "y[0] = 1;");
    expect_body("1. So:\n   ```c\n   y[0] = 1;\n   ```\n", "   y[0] = 1;");
    expect_body("```c\ny[0] = 1;\n```c\ny[0] = 2;\n```\n", "y[0] = 2;");
    expect_body("    y[0] = 1;\n}```\nThat is it.", "    y[0] = 1;");
    /* The fence that the prompt opened is closed, and others follow. */
    expect_body("    y[0] = 1;\n```\nThe old one:\n```c\ny[0] = 0;\n```\n", "    y[0] = 1;");
    expect_body("    y[0] = 1;\n}\n```\nThe old one:\n```c\ny[0] = 0;\n```\n", "    y[0] = 1;");
    /* A fence that names its language opens a block, whatever the sentence before it ends with. */
    expect_none("It is one store;\n```c\n    y[0] = 1;\n    y[1]", true, "ends before");
    /* A sentence that ends with a semicolon's neighbour opens none. */
    expect_body("I use one store; see:\n```\ny[0] = 1;\n```\n", "y[0] = 1;");
}

/* Comments are text, whatever stands in them; only the block's own bare fence ends it anywhere. */
static void fences_in_comments(void)
{
    char answer[2048], block[4096];
    static const char *const comments[] = {
        "/*\n~~~~~~~~ */\n",
        "/* was:\n~~~c\nvoid relu(float *y) {\n    y[0] = 9;\n}\n~~~\n*/\n",
        "/* so:\n~~~\nrelu(y);\n~~~\n*/\n",
        "/* so:\n```c\nrelu(y);\n */\n",
        "/*\n~~~~~~~~~\n A title\n~~~~~~~~~\n */\n",
        "// see ```\n// ~~~\n",
    };
    for (size_t i = 0; i < sizeof comments / sizeof comments[0]; i++) {
        char text[3072];
        snprintf(text, sizeof text, "%svoid relu(float *y) {\n    return;\n%s    y[0] = 1;\n}", comments[i],
                 comments[i]);
        snprintf(block, sizeof block, "So:\n```c\n%s\n```\n", text);
        expect_body(block, text);
        snprintf(block, sizeof block, "```\n%s\n```\n", text);
        expect_body(block, text);
        expect_body(text, text); /* without a fence */
        snprintf(answer, sizeof answer, "    return;\n%s    y[0] = 1;", comments[i]);
        snprintf(text, sizeof text, "%s\n}\n", answer);
        expect_body(text, answer);
    }
    /* What says that it is C shows nothing, in a comment or elsewhere. */
    expect_body("```c\nvoid relu(float *y) {\n#if 0\n~~~\n    y[0] = 9;\n~~~\n#endif\n}\n```\n",
                "void relu(float *y) {\n#if 0\n~~~\n    y[0] = 9;\n~~~\n#endif\n}");
    /* The block ends at its own fence, as every reader of Markdown ends it. */
    expect_body("```c\n    y[0] = 1; /*\n```\nThe rest; is prose. */\n", "    y[0] = 1; /*");
    /* A fence behind code closes, one behind anything else is text. */
    expect_body("```c\n    y[0] = 1; // a = b;```\n    y[1] = 2;\n```\n", "    y[0] = 1; // a = b;```\n    y[1] = 2;");
    expect_body("```c\n    y[0] = n\n    + 1```\n    ;\n```\n", "    y[0] = n\n    + 1```\n    ;");
    /* A star behind a slash in a sentence opens nothing that hides the block. */
    expect_body("It is in src/*.c, as /* says:\n```c\n/* one */\ny[0] = 1;\n```\n", "/* one */\ny[0] = 1;");
    expect_body("See https://a.b/c: ```c\ny[0] = 1;\n```\n", "y[0] = 1;");
}

/* Functions by another name are not what was asked for, and no body either. */
static void other_functions(void)
{
    static const char other[] = "static int k = 2;\nvoid relu_fast(float *y) {\n    y[0] = k;\n}";
    char answer[2048];
    snprintf(answer, sizeof answer, "So:\n```c\n%s\n```\nIt is fast; is it not?\n", other);
    expect_none(answer, true, "asked for is relu, and the answer defines relu_fast");
    snprintf(answer, sizeof answer, "Here it is:\n\n%s\n\nIt is fast; is it not?\n", other);
    expect_none(answer, true, "defines relu_fast");
    expect_none(other, true, "defines relu_fast");
    expect_none(other, false, "defines relu_fast");
    snprintf(answer, sizeof answer, "%s\n}\n", other);
    expect_none(answer, true, "defines relu_fast"); /* as the rest of the prompt's function */
    /* A body may define what it calls, and goes before a block that only tries it. */
    expect_body("    float f(float v) { return v; }\n    y[0] = f(1);\n}\n",
                "    float f(float v) { return v; }\n    y[0] = f(1);");
    expect_body("```c\ny[0] = 1;\n```\n```c\nint main(void) {\n    return 0;\n}\n```\n", "y[0] = 1;");
    expect_body("    y[0] = 1;\n}\nint main(void) {\n    return 0;\n}\n", "    y[0] = 1;");
    /* The name asked for in the spellings that C has. */
    static const char *const heads[] = {"void relu(y, n)\n    float *y;\n    int n;\n{\n    y[0] = 1;\n}",
                                        "void relu(float *y) <%\n    y<:0:> = 1;\n%>",
                                        "void re\\\nlu(float *y) {\n    y[0] = 1;\n}"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        snprintf(answer, sizeof answer, "```c\n%s\n```\n", heads[i]);
        expect_code(answer, true, heads[i], true, 2);
    }
    /* A prototype before a function defines nothing. */
    expect_none("```c\nvoid relu(y);\nint n;\nint main(void) {\n    return 0;\n}\n```\n", true, "defines main");
    expect_compiled("    y[0] = 1;\n%>\nint main(void) <%\n    return 0;\n", "    y[0] = 1;");
    expect_none("{\"code\": \"void relu(float *y) { y[0] = 1; }\"}", true, "is JSON");
    expect_none(" [{\"code\": \"y[0] = 1;\"}]\n", true, "is JSON");
}

/* The function with no fence around it: its helpers stay, the prose goes. */
static const char relu_c[] = "void relu(float *y) {\n    y[0] = 1;\n}";

/* Other languages: C goes first wherever it stands, and an answer that has none says what it has. */
static void foreign(void)
{
    char answer[2048];
    snprintf(answer, sizeof answer,
             "```c\n%s\n```\nIn Rust:\n```rust\nfn relu(y: &mut [f32]) {\n    y[0] = 1.0;\n}\n```\n", relu_c);
    expect_body(answer, relu_c);
    snprintf(answer, sizeof answer,
             "```c\n%s\n```\nThe same:\n```java\nvoid relu(float[] y) {\n    y[0] = 1;\n}\n```\n", relu_c);
    expect_body(answer, relu_c);
    expect_body("```c\ny[0] = 1;\n```\nOr:\n```js\nfunction relu(y) {\n    y[0] = 1;\n}\n```\n", "y[0] = 1;");
    expect_body("```\ny[0] = 1;\n```\nOr:\n```\nfn relu(y: &mut [f32]) { y[0] = 1.0; }\n", "y[0] = 1;");
    expect_none("```python\ndef relu(x, y):\n    y[0] = 1; return\n```\n", true,
                "contains no C: its code says that it is python");
    expect_none("```Rust\nfn relu(y: &mut [f32]) {\n    y[0] = 1.0;\n}\n```\n", true, "says that it is Rust");
    /* C that goes by another name. */
    snprintf(answer, sizeof answer, "```python\n%s\n```\n", relu_c);
    expect_body(answer, relu_c);
    expect_body("```{.c title=\"x\"}\ny[0] = 1;\n```\n```text\n1; 2;\n```\n", "y[0] = 1;");
    expect_body("```C title=\"relu.c\"\ny[0] = 1;\n```\n```text\n1; 2;\n```\n", "y[0] = 1;");
    expect_body("~~~c\ny[0] = 1;\n~~~\n~~~text\n1; 2;\n~~~\n", "y[0] = 1;");
}

/* C++'s wish for C's linkage opens no block of statements, and is gone from what is compiled. */
static void linkage(void)
{
    char answer[2048], expected[2048];
    snprintf(answer, sizeof answer, "```cpp\n#include <math.h>\nextern \"C\" {\n%s\n}\n```\n", relu_c);
    snprintf(expected, sizeof expected, "#include <math.h>\n            \n%s\n ", relu_c);
    expect_code(answer, true, expected, true, 2);
    snprintf(answer, sizeof answer,
             "```c\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n%s\n#ifdef __cplusplus\n}\n#endif\n```\n", relu_c);
    snprintf(expected, sizeof expected, "#ifdef __cplusplus\n            \n#endif\n%s\n#ifdef __cplusplus\n \n#endif",
             relu_c);
    expect_code(answer, true, expected, true, 2);
    snprintf(answer, sizeof answer, "```cpp\nextern \"C\" %s\n```\n", relu_c);
    snprintf(expected, sizeof expected, "extern     %s", relu_c);
    expect_code(answer, true, expected, true, 2);
    snprintf(answer, sizeof answer, "extern \"C\" {\n%s\n}\n", relu_c);
    expect_code(answer, false, answer, true, 1); /* a file is its author's */
}

/* Functions that the main block calls come along, from before it and behind it, each before what uses it. */
static void helpers(void)
{
    expect_body("```c\nstatic float f(float v) { return g(v); }\n```\nand\n```c\nint unused(void) { return 0; }\n```\n"
                "```c\nvoid relu(float *y) {\n    y[0] = f(1);\n}\n```\nwith\n```\nstatic float g(float v) { return v; "
                "}\n```\n",
                "static float g(float v) { return v; }\n\nstatic float f(float v) { return g(v); }\n\n"
                "void relu(float *y) {\n    y[0] = f(1);\n}");
    /* A macro, a type, a constant, whatever needs another; found again where the first walk was past it. */
    static const char *const needed[] = {"#define H(a) ((a) + 1)",
                                         "typedef float v8 __attribute__((vector_size(32)));",
                                         "typedef float (*v8)(float);",
                                         "struct v8 {\n    float at[8];\n};",
                                         "enum { ONE, v8 = 2 };",
                                         "static const float H[2] = {1, 2};",
                                         "#include <math.h>\n/* a */\nstatic const float a = 1, H = 2;"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        char answer[1024], expected[1024];
        snprintf(answer, sizeof answer, "```c\n%s\n```\nand\n```c\nvoid relu(float *y) {\n    y[0] = H(v8);\n}\n```\n",
                 needed[i]);
        snprintf(expected, sizeof expected, "%s\n\nvoid relu(float *y) {\n    y[0] = H(v8);\n}", needed[i]);
        expect_body(answer, expected);
    }
    expect_body("```c\n#define ONE 1\n```\n```c\n#define TWO (ONE + ONE)\n```\n```c\n#define UNUSED 3\n```\n"
                "```c\nvoid relu(float *y) {\n    y[0] = TWO;\n}\n```\n",
                "#define ONE 1\n\n#define TWO (ONE + ONE)\n\nvoid relu(float *y) {\n    y[0] = TWO;\n}");
    /* A call that shows how it is used, and what the code has itself, stay away. */
    expect_body("```c\nfloat y[4] = {0};\nrelu(y);\n```\n```c\nfloat y[4];\n```\n```c\n#define A 2\n```\n"
                "```c\n#define A 1\nvoid relu(float *y) {\n    y[0] = A;\n}\n```\n",
                "#define A 1\nvoid relu(float *y) {\n    y[0] = A;\n}");
    /* One that it defines itself, or that is not C, stays away. */
    expect_body("```c\nfloat f(float v) { return 0; }\n```\n```rust\nfloat h(float v) { return 0; }\n```\n"
                "```c\nfloat f(float v) { return v; }\nvoid relu(float *y) {\n    y[0] = f(h(1));\n}\n```\n",
                "float f(float v) { return v; }\nvoid relu(float *y) {\n    y[0] = f(h(1));\n}");
}

/* What web pages and mail put around code. */
static void wrapped(void)
{
    struct vt_code c;
    vt_err err;
    expect_body("> Here:\n> ```c\n> y[0] = 1;\n>\n>     y[1] = x[0] > 2;\n> ```\n> So.\n",
                "y[0] = 1;\n\n    y[1] = x[0] > 2;");
    expect_body("<p>So:</p><pre><code class=\"language-c\">for (int i = 0; i &lt; n; i++)\n  y[i] = x[i] &gt; 0 "
                "&amp;&amp; 1;\n</code></pre>\n<pre>1; 2;</pre>",
                "for (int i = 0; i < n; i++)\n  y[i] = x[i] > 0 && 1;");
    expect_body(
        "Use <code>restrict</code> here:\n<code>\nvoid relu(float *y) {\n    y[0] = 1;\n}\n</code>\nDone; it is short.",
        relu_c);
    expect_body("```c\n\xc2\xa0\xc2\xa0y[0]\xe2\x80\xaf= 1\xe2\x80\x8b;\n```\n", "  y[0] = 1;");
    expect_body("\xef\xbb\xbf```c\ny[0] = 1;\n```\n", "y[0] = 1;");
    expect_code("Here:\r\r```c\ry[0] = 1;\ry[1] = 2;\r```\rSo.", true, "y[0] = 1;\ny[1] = 2;", false, 4);
    expect_body("<pre>y[0]&nbsp;= 1;\n</pre>", "y[0] = 1;");
    expect_body("> ~~~c\n> y[0] = 1;\n> ~~~\n", "y[0] = 1;");
    expect_body("```c\n\xe2\x80\x80y[0]\xe2\x80\x8a= 1;\n```\n", " y[0] = 1;");
    expect_body("```c\ny[0] = 1; //\xe2\x80\x8b\xe2\x80\xa6\n```\n", "y[0] = 1; //\xe2\x80\xa6");
    static const char dots[] =
        "\xef\xbb\xbf```c\ny[0] = 1; // \xe2\x80\xa6\n```\n"; /* ends with a character's last byte */
    CHECK_OK(vt_extract(dots, strlen(dots), "relu", true, &c, &err), err);
    CHECK_STR(c.text, "y[0] = 1; // \xe2\x80\xa6");
    CHECK_INT(c.from, 8);
    CHECK_INT(c.to, 24);
    vt_code_free(&c);
    static const char space[] = "    y[0] = 1;\xc2\xa0\n}\n"; /* ends with a blank of two bytes */
    CHECK_OK(vt_extract(space, strlen(space), "relu", true, &c, &err), err);
    CHECK_STR(c.text, "    y[0] = 1; ");
    CHECK_INT(c.to, 15);
    vt_code_free(&c);
    /* Where it stands is said in bytes of the answer. */
    static const char quoted[] = "> ```c\n> y[0]\xc2\xa0= 1;\n> y[1] = 2;\n> ```\n";
    CHECK_OK(vt_extract(quoted, strlen(quoted), "relu", true, &c, &err), err);
    CHECK_STR(c.text, "y[0] = 1;\ny[1] = 2;");
    CHECK_INT(c.from, 9);
    CHECK_INT(c.to, 31);
    CHECK_INT(c.first_line, 2);
    vt_code_free(&c);
    /* A comparison at the start of a line is no quotation, and a page without code none of several lines. */
    expect_body("    y[0] = n\n> 2;\n}\n", "    y[0] = n\n> 2;");
    expect_none("Call <code>relu</code>, not <code>gelu</code>.", true, "no code");
    /* Sentences with a semicolon are not code that was cut. */
    expect_none("I cannot help with that; it would not be safe.", true, "contains no code");
    expect_none("Sorry; I can't (yet) do this. Ask again; thanks", true, "contains no code");
}

static void in_the_open(void)
{
    /* A body that closes the prompt's brace is the answer, whatever is shown behind it. */
    expect_body("  for (int i = 0; i < n; i++) y[i] = 7;\n}\n\nIt replaces the original:\n\nvoid relu(const float *x, "
                "float *y, int n) {\n"
                "  y[0] = x[0];\n}\n",
                "  for (int i = 0; i < n; i++) y[i] = 7;");
    expect_body("  y[0] = 7;\n}\n\n// original\nvoid relu(const float *x, float *y, int n) {\n  y[0] = x[0];\n}\n",
                "  y[0] = 7;");
    char answer[2048];
    snprintf(answer, sizeof answer,
             "Here's a faster one (it's short):\n\n%s\n\nThis avoids the branch; it isn't long.\n", whole);
    expect_code(answer, true, whole, true, 3);
    expect_code(
        "I changed the loop.\n# Result\n#include <math.h>\n#define T \\\n    float\n/* A helper,\n   inline. */\n"
        "static inline T\nsq(T v)\n{\n    return v * v;\n}\n\nvoid relu(const float *x,\n          float *y, int n)\n"
        "{\n    y[0] = sq(x[0]);\n}\nDone.",
        true,
        "#include <math.h>\n#define T \\\n    float\n/* A helper,\n   inline. */\nstatic inline T\nsq(T v)\n{\n"
        "    return v * v;\n}\n\nvoid relu(const float *x,\n          float *y, int n)\n{\n    y[0] = sq(x[0]);\n}",
        true, 3);
    /* A comment goes on to its end, whatever its lines look like. */
    expect_body("So:\n/* Of one\n   value. */\nstatic int k;\nvoid relu(float *y) {\n    y[0] = k;\n}\n",
                "/* Of one\n   value. */\nstatic int k;\nvoid relu(float *y) {\n    y[0] = k;\n}");
    /* A macro goes on behind its backslash, whatever stands there; what it leaves open is not the file's. */
    expect_body("So:\n#define SQ(v) \\\n    ((v) * (v))\nvoid relu(float *y) {\n    y[0] = SQ(2);\n}\n",
                "#define SQ(v) \\\n    ((v) * (v))\nvoid relu(float *y) {\n    y[0] = SQ(2);\n}");
    expect_body("#define OPEN \\\n    if (1) {\nand then the function\nvoid relu(float *y) {\n    y[0] = 1;\n}\n",
                "void relu(float *y) {\n    y[0] = 1;\n}");
    expect_body("Answer: void relu(float *y) { y[0] = 1; } That is all.", "void relu(float *y) { y[0] = 1; }");
    /* The prompt's signature written once more, and the brace that the prompt asked for. */
    expect_body("void relu(float *y) {\n    y[0] = 1;\n}\n}\n", "void relu(float *y) {\n    y[0] = 1;\n}");
    /* Two of them: the last. */
    expect_body("Before:\nvoid relu(float *y) {\n    y[0] = 0;\n}\nAfter:\nvoid relu(float *y) {\n    y[0] = 1;\n}\n",
                "void relu(float *y) {\n    y[0] = 1;\n}");
}

static void reasoning(void)
{
    char answer[2048];
    snprintf(answer, sizeof answer, "<think>\nPerhaps ```c\ny[0] = 9;\n```\n</think>\n\n```c\n%s\n```\n", whole);
    expect_code(answer, true, whole, true, 8);
    snprintf(answer, sizeof answer, "Perhaps\n```c\ny[0] = 9;\n```\n</think>\n%s\n", whole); /* opened in the prompt */
    expect_code(answer, true, whole, true, 6);
    expect_body("<think>y[0] = 9;</think>\n\n    y[0] = 1;\n}\n", "    y[0] = 1;");
    expect_body("[THINK]y[0] = 9;\n}[/THINK]    y[0] = 1;\n}\n", "    y[0] = 1;");
    expect_body("<|channel|>analysis<|message|>y[0] = 9;<|end|><|start|>assistant<|channel|>final<|message|>```c\n"
                "y[0] = 1;\n```<|return|>",
                "y[0] = 1;");
    /* Thoughts after the code do not take it back; code after them does. */
    expect_body("    y[0] = 1;\n}\n<reasoning>\nI think so.", "    y[0] = 1;");
    expect_body("```c\ny[0] = 1;\n```\n<think>No.</think>\n```c\ny[0] = 2;\n```\n", "y[0] = 2;");
    expect_body("```c\ny[0] = 1;\n```\n<think>Yes.</think>\nI am sure.\n", "y[0] = 1;");
    expect_none("<think>\n```c\ny[0] = 9;\n```\nand then", true, "ends before");
    /* A tag in a sentence, in a comment, in code or in a block is text, and so is one that never closes. */
    expect_body("My <analysis> follows.\n```c\ny[0] = 1;\n```\n", "y[0] = 1;");
    expect_body("```c\n// <think>\ny[0] = 1; // </think>\n```\n", "// <think>\ny[0] = 1; // </think>");
    expect_body("```c\n/*\n<think>\n</think>\n*/\ny[0] = 1;\n```\n", "/*\n<think>\n</think>\n*/\ny[0] = 1;");
    expect_body("    y[0] = 1; // <think>\n    y[1] = 2; // </think>\n}\n",
                "    y[0] = 1; // <think>\n    y[1] = 2; // </think>");
    expect_body("    float t[THINK];\n    y[0] = t[0];\n}\n", "    float t[THINK];\n    y[0] = t[0];");
    expect_body("I write no `<think>` and no `</think>`.\n```c\ny[0] = 1;\n```\nNot `<think>`.", "y[0] = 1;");
    expect_body("So:\n<think>\n```c\ny[0] = 1;\n```\n", "y[0] = 1;");
    expect_body("<scratchpad>\n    y[0] = 9;\n}\n</scratchpad>\n    y[0] = 1;\n}\n", "    y[0] = 1;");
    expect_body("```c\ny[0] = 9;\n\nNo, better:\n</think>\n```c\ny[0] = 1;\n```\n", "y[0] = 1;");
    expect_body("```c\ny[0] = 9;\n```\nThat is it.</think>\n\n```c\ny[0] = 1;\n```\n", "y[0] = 1;");
    /* What closes without having been opened makes a thought of all before it. */
    expect_none("```c\ny[0] = 1;\n```\n<think>Hm.</think>\nNo.\n</think>\nSorry.\n", true, "no code");
}

/* Half a function is no candidate, wherever the answer was cut; a block or a function that had ended is. */
static void cut_answers(void)
{
    char answer[2048];
    expect_none("    for (int i = 0; i < n; i++) {\n        y[i] = 1;\n", true, "ends before");
    expect_none("    y[0] = 1;\n    y[1] =", true, "ends before");
    expect_none("Here:\n```c\n    y[0] = 1;\n    y[1]", true, "ends before");
    expect_none("It is long; see:\n```\n    y[0] = 1;\n    y[1]", true, "ends before");
    expect_none("void relu(float *y) {\n    y[0] = 1;\n", true, "ends before");
    snprintf(answer, sizeof answer, "```c\nint a;\n```\nAll:\n```c\n%.*s", (int)sizeof whole - 4, whole);
    expect_none(answer, true, "ends before");
    snprintf(answer, sizeof answer, "```c\n%s\n```\nOr:\n```c\n%.*s", whole, (int)sizeof whole - 4, whole);
    expect_code(answer, true, whole, true, 2);
    expect_body("```\ny[0] = 1;\n```\nOr:\n```c\ny[0] = 2;\ny[1]", "y[0] = 1;");
    expect_none("    y[0] = 1; y[1]", true, "ends before"); /* nothing but the sign says that it is code */
    /* Cut at every byte, the function is whole or it is none. */
    snprintf(answer, sizeof answer, "So:\n```c\n%s\n```\n", whole);
    for (size_t n = 0; n <= strlen(answer); n++) {
        struct vt_code c;
        vt_err err;
        char *exact = malloc(n ? n : 1);
        memcpy(exact, answer, n);
        CHECK_OK(vt_extract(exact, n, "relu", true, &c, &err), err);
        if (n < 8 + sizeof whole)
            CHECK(c.text == NULL);
        else
            CHECK_STR(c.text, whole);
        vt_code_free(&c);
        free(exact);
    }
}

/* Lines that end in CR LF give the text that those ending in LF give. */
static void line_ends(void)
{
    static const char *const answers[] = {"    if (n) {\n        y[0] = 1;\n    }\n}\n",
                                          "Here:\n\n```c\n    y[0] = 1;\n```\nSo.\n",
                                          "Well.\nvoid relu(float *y) {\n    y[0] = 1;\n}\nSo.\n",
                                          "<think>\nno\n</think>\n\n    y[0] = 1;\n}\n", "    y[0] = 1;\n}"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char crlf[256];
        size_t n = 0;
        for (const char *p = answers[i]; *p; p++) {
            if (*p == '\n')
                crlf[n++] = '\r';
            crlf[n++] = *p;
        }
        crlf[n] = 0;
        struct vt_code c;
        vt_err err;
        CHECK_OK(vt_extract(answers[i], strlen(answers[i]), "relu", true, &c, &err), err);
        expect_code(crlf, true, c.text, c.is_whole, c.first_line);
        vt_code_free(&c);
    }
    expect_code("    y[0] = 1;\r\n", false, "    y[0] = 1;\r\n", false, 1); /* C text as it is */
    /* One among others is the model's. */
    expect_code("    y[0] = 1;\r\n    y[1] = 2;\n}\n", true, "    y[0] = 1;\r\n    y[1] = 2;", false, 1);
}

static void no_code(void)
{
    expect_none("", true, "no code");
    expect_blank("\n\n  \t", false, "\n\n  \t");
    expect_none("I cannot do that.", true, "no code");
    expect_none("Sorry :}", true, "no code");
    expect_none("```c\n```\n", true, "no code");
    expect_none("```\n```\n```c", true, "no code");
    char *big = malloc(VT_ANSWER_MAX + 2);
    memset(big, ';', VT_ANSWER_MAX + 1);
    big[VT_ANSWER_MAX + 1] = 0;
    expect_none(big, false, "The answer is longer than");
    big[VT_CODE_MAX + 1] = 0;
    expect_none(big, false, "The code is longer than");
    expect_none(big, true, "without its thoughts");
    /* Thoughts may be longer than code. */
    memcpy(big, "<think>", 7);
    big[VT_CODE_MAX + 1] = ';';
    snprintf(big + 2 * VT_CODE_MAX, 64, "%s", "</think>\n```c\ny[0] = 1;\n```\n");
    expect_body(big, "y[0] = 1;");
    free(big);
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract("y[0] = 1;\0x", 11, "relu", false, &c, &err), err);
    CHECK(c.text == NULL && strstr(c.why, "NUL"));
    /* Sizes at which a second walk per tag, fence or line would take minutes. */
    static const char *const units[] = {"<think></think>", "</think>", "```c\n", "~~~\n", "{\n", "}\n",
                                        "relu(",           "<",        "/*",     "# \\\n"};
    char *many = malloc(VT_CODE_MAX);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t n = strlen(units[i]), k = VT_CODE_MAX / n;
        for (size_t j = 0; j < k; j++)
            memcpy(many + j * n, units[i], n);
        CHECK_OK(vt_extract(many, k * n, "relu", true, &c, &err), err);
        vt_code_free(&c);
    }
    size_t n = 0; /* fences in fences in fences */
    for (size_t run = 350; run >= 3; run--) {
        memset(many + n, '`', run);
        many[n + run] = '\n';
        n += run + 1;
    }
    CHECK(n < VT_CODE_MAX);
    CHECK_OK(vt_extract(many, n, "relu", true, &c, &err), err);
    CHECK(c.text == NULL);
    free(many);
}

static void logs(void)
{
    struct vt_diagnostics d;
    const char *log = "In file included from /usr/include/math.h:25,\nkernel.c: In function 'relu':\n"
                      "kernel.c:3:12: error: 'q' undeclared (first use in this function)\n"
                      "kernel.c:3:12: note: each undeclared identifier is reported only once\n"
                      "kernel.c:7:1: warning: unused\nhelpers.c:2:2: error: elsewhere\n"
                      "/usr/bin/ld: a.o: in function `relu': kernel.c:(.text+0x1): undefined reference to `nosuch'\n"
                      "kernel.c:9:1: fatal error: \x1b[31mred\x07\n";
    vt_diagnostics_parse(log, strlen(log), &d);
    CHECK_INT(d.n, 4);
    CHECK_INT(d.n_errors, 4);
    CHECK_INT(d.item[0].line, 3);
    CHECK_INT(d.item[0].column, 12);
    CHECK_STR(d.item[0].text, "'q' undeclared (first use in this function)");
    CHECK_INT(d.item[1].line, 0);
    CHECK(strstr(d.item[2].text, "nosuch") != NULL);
    CHECK_INT(d.item[3].line, 9);
    CHECK_STR(d.item[3].text, " [31mred ");
    char many[40 * 64] = "";
    size_t n = 0;
    for (int i = 1; i <= 40; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "kernel.c:%d:1: error: e\n", i);
    vt_diagnostics_parse(many, n, &d);
    CHECK_INT(d.n, VT_MAX_DIAGNOSTICS);
    CHECK_INT(d.n_errors, 40);
    /* Cut anywhere, nothing is read past the end. */
    for (size_t k = 0; k <= strlen(log); k++) {
        char *cut = malloc(k ? k : 1);
        memcpy(cut, log, k);
        vt_diagnostics_parse(cut, k, &d);
        CHECK(d.n >= 0 && d.n <= 4);
        free(cut);
    }
    vt_diagnostics_parse("kernel.c:99999999999999999999:1: error: x\n", 42, &d);
    CHECK_INT(d.item[0].line, 0);
    static const char tools[] = "kernel.c: Assembler messages:\nkernel.c:4: Error: words\nx.s:9: Fatal error: no\n"
                                "/usr/bin/ld: /tmp/a.o: in function `f':\n/usr/bin/ld: final link failed: no room\n"
                                "collect2: error: ld returned 1 exit status\nkernel.c:5:3: error: is "
                                "mine\nkernel.c:6:1: error: 'q' undeclared\n"
                                "entry.c:2:1: error: 'relu' undeclared\n";
    vt_diagnostics_parse(tools, sizeof tools - 1, &d);
    CHECK_INT(d.n, 5);
    CHECK(!d.item[3].is_own);
    vt_diagnostics_compare(&d, "y[0] = 1; /* is mine */");
    CHECK(d.item[0].is_own && d.item[1].is_own && !d.item[2].is_own && d.item[3].is_own && !d.item[4].is_own);
    CHECK_INT(d.item[0].line, 4);
    CHECK_STR(d.item[1].text, "no");
    CHECK_STR(d.item[2].text, "final link failed: no room");
    CHECK(d.is_absent);
    vt_diagnostics_compare(&d, "#pragma GCC error \"\\151s mine\"");
    CHECK(d.item[4].is_own);
    static const char header[] = "kernel.h:7:1: error: not in the candidate's own text\n";
    vt_diagnostics_parse(header, sizeof header - 1, &d);
    CHECK_INT(d.n, 1);
    CHECK_INT(d.item[0].line, 0);
}

/* What is no image is refused, whatever it is cut to: a program of this machine, its first bytes, nothing. */
static void objects(void)
{
    struct vt_object_info info;
    struct vt_buf self;
    vt_err err;
    vt_object_inspect((const unsigned char *)"", 0, &info);
    CHECK(strstr(info.refused, "no image") != NULL);
    vt_object_inspect((const unsigned char *)"vtimage1", 8, &info);
    CHECK(strstr(info.refused, "no image") != NULL);
    CHECK_OK(vt_fs_read("/proc/self/exe", 256u << 20, &self, &err), err);
    vt_object_inspect((const unsigned char *)self.p, self.len, &info);
    CHECK(strstr(info.refused, "no image") != NULL);
    CHECK_STR(info.text_sha, "");
    vt_buf_free(&self);
}

static void roofline_floor(void)
{
    struct vt_roofline r;
    for (int i = 0; i < VT_ROOFLINE_N; i++)
        r.bytes_per_ns[i] = 200.0 / (i + 1);
    CHECK_NEAR(vt_roofline_floor_ns(&r, 16384), 0.8 * 16384 / 200.0, 1e-9);
    CHECK_NEAR(vt_roofline_floor_ns(&r, 100), 0.8 * 100 / 200.0, 1e-9);
    CHECK_NEAR(vt_roofline_floor_ns(&r, 65535), 0.8 * 65535 / 100.0, 1e-9); /* the level below is taken */
    CHECK_NEAR(vt_roofline_floor_ns(&r, 1ll << 40), 0.8 * (double)(1ll << 40) * 13 / 200.0, 1e-3);
    char machine[160];
    vt_machine_class(machine, sizeof machine);
    CHECK(machine[0] != 0);
    vt_machine_class(machine, 8);
    CHECK(strlen(machine) < 8);
}

static const struct test_case cases[] = {
    TEST(bodies),  TEST(fenced),  TEST(foreign),     TEST(fences_in_comments), TEST(other_functions), TEST(linkage),
    TEST(helpers), TEST(wrapped), TEST(in_the_open), TEST(reasoning),          TEST(cut_answers),     TEST(line_ends),
    TEST(no_code), TEST(logs),    TEST(objects),     TEST(roofline_floor)};
TEST_MAIN(cases)
