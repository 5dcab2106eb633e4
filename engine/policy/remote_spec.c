/* SPDX-License-Identifier: Apache-2.0
 *
 * remote_spec.c: what the spec of a remote model says (MODEL?option=value&…), and which addresses are taken: no spec
 * may hold a user or a password, since specs are written down with every run.
 */
#include "base/alloc.h"
#include "policy/remote.h"
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static vt_status parse_count(const char *name, const char *text, int most, int *out, vt_err *err)
{
    char *end;
    const long v = strtol(text, &end, 10);

    if (end == text || *end || v < 1 || v > most)
        return vt_fail(err, VT_EINVAL, "the model's option %s must be a number from 1 to %d, not \"%.60s\"", name, most,
                       text);
    *out = (int)v;
    return VT_OK;
}

static vt_status parse_option(struct vt_remote_spec *s, char *option, vt_err *err)
{
    char *value = strchr(option, '=');

    if (!value)
        return vt_fail(err, VT_EINVAL, "the model's option \"%.60s\" has no value: write NAME=VALUE", option);
    *value++ = '\0';
    if (strcmp(option, "context") == 0)
        return parse_count(option, value, INT_MAX, &s->n_ctx, err);
    if (strcmp(option, "requests") == 0)
        return parse_count(option, value, 1 << 16, &s->max_requests, err);
    if (strcmp(option, "tokenizer") != 0)
        return vt_fail(err, VT_EINVAL,
                       "a served model has no option \"%.60s\": there are tokenizer=PATH, context=TOKENS and "
                       "requests=NUMBER",
                       option);
    free(s->tokenizer);
    s->tokenizer = vt_strdup(value);
    return s->tokenizer ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for the model spec");
}

vt_status vt_remote_parse(const char *spec, struct vt_remote_spec *out, vt_err *err)
{
    const char *what = strchr(spec, ':') + 1;
    vt_status status = VT_OK;
    char *options;

    *out = (struct vt_remote_spec){.what = vt_strdup(what)};
    if (!out->what)
        return vt_fail(err, VT_ENOMEM, "out of memory for the model spec");
    options = strchr(out->what, '?');
    if (options)
        *options++ = '\0';
    while (options && status == VT_OK) {
        char *next = strchr(options, '&');

        if (next)
            *next++ = '\0';
        status = parse_option(out, options, err);
        options = next;
    }
    if (status != VT_OK)
        vt_remote_spec_free(out);
    return status;
}

void vt_remote_spec_free(struct vt_remote_spec *s)
{
    free(s->what);
    free(s->tokenizer);
    *s = (struct vt_remote_spec){0};
}

vt_status vt_remote_check_url(const char *url, const char *spec, vt_err *err)
{
    const char *host = strstr(url, "://");
    size_t n;

    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return vt_fail(err, VT_EINVAL, "the model \"%.200s\" has no address: it must begin with http:// or https://",
                       spec);
    host += 3;
    n = strcspn(host, "/");
    if (n == 0)
        return vt_fail(err, VT_EINVAL, "the address in \"%.200s\" names no host", spec);
    if (memchr(host, '@', n)) /* not repeated here: the spec may hold a password */
        return vt_fail(err, VT_EINVAL,
                       "an address in a model spec must not hold a user or a password, since specs are recorded: put "
                       "the key into the environment");
    for (const char *c = url; *c; c++)
        if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
            return vt_fail(err, VT_EINVAL, "the address in \"%.200s\" holds white space", spec);
    return VT_OK;
}
