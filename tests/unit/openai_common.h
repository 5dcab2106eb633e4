/* SPDX-License-Identifier: Apache-2.0
 *
 * openai_common.h: what the tests of the backend of completions servers share: tests/double/openai_server.py, a policy
 * of it, and a request to it.
 */
#ifndef VT_TEST_OPENAI_COMMON_H
#define VT_TEST_OPENAI_COMMON_H

#include "policy_common.h"
#include "served.h"

#define TOKENIZER "?tokenizer=" CHAT

static inline struct served start(const char *shape, const char *fault)
{
    const char *const args[] = {"--shape", shape, fault ? "--fault" : NULL, fault, NULL};

    return serve("openai_server.py", args);
}

/* options: "?…" or "". NULL when it cannot be opened: err says why. */
static inline vt_policy *open_at(const struct served *s, const char *model, const char *options, const char *trace)
{
    const struct vt_policy_opts o = {.chat = "smollm2", .trace_http = trace};
    char spec[512];
    vt_policy *p = NULL;

    snprintf(spec, sizeof spec, "openai:%s/v1%s%s", s->url, model, options);
    if (open_spec(spec, &o, &p) != VT_OK)
        return NULL;
    return p;
}

/* Opening asks this many completions of a server like vLLM's: the faults below begin behind them. */
enum { N_PROBES = 8, N_PROBES_OF_TEXT = 7 };

static const char prompt_text[] = "ABC\nFGHIJ\n"; /* some_prompt */

static inline struct vt_sample_request ask(vt_policy *p, vt_weights *w, int n, int max_tokens, struct vt_sample *out)
{
    struct vt_sample_request r = sample_request(w, n, max_tokens, out);

    if (!vt_policy_caps(p)->tokens) {
        r.prompt = NULL;
        r.n_prompt = 0;
    }
    r.text = prompt_text;
    r.text_len = strlen(prompt_text);
    return r;
}

static inline int openai_test_main(const struct test_case *cases, size_t n, int argc, char **argv)
{
    without_proxies();
    unsetenv("OPENAI_API_KEY");
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, n, argc, argv);
}

#endif
