/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_wire.c: batches and samples of the Tinker API as bytes, in its two dialects: protobuf, which the service
 * speaks now, and JSON, which self-hosted servers speak still. Numbers travel as little-endian arrays there, as lists
 * here.
 *
 * A sequence of a prompt and a completion, n tokens in all, is n - 1 predictions: token t + 1 from the tokens up to t.
 * Those of the prompt's own tokens weigh nothing. Lengths that a server gives are checked against what was sent before
 * a number is used.
 */
#include "base/alloc.h"
#include "net/protobuf.h"
#include "policy/tinker.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY ((size_t)1 << 30)
enum { FLOAT32 = 1, INT64 = 2, INT32 = 3, BFLOAT16 = 4 }; /* of the protobuf's DType */

void vt_tinker_put_number(struct vt_buf *b, const char *before, float v)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    vt_buf_puts(b, before);
    vt_json_write_double(b, strtod(text, NULL));
}

/* --- a sequence as columns --- */

static size_t n_predictions(const struct vt_train_seq *q)
{
    return (size_t)(q->n_prompt + q->n_tokens - 1);
}

static int32_t token_at(const struct vt_train_seq *q, size_t i)
{
    return i < (size_t)q->n_prompt ? q->prompt[i] : q->tokens[i - (size_t)q->n_prompt];
}

/* Prediction i's value of a column that has one number for each token of the completion; NULL = zeros. */
static float column_at(const struct vt_train_seq *q, const float *column, size_t i)
{
    const size_t first = (size_t)q->n_prompt - 1;

    return column && i >= first ? column[i - first] : 0;
}

size_t vt_tinker_batch_bytes(const struct vt_train_seq *q, bool has_ratio)
{
    return n_predictions(q) * (size_t)(4 + 8 + (has_ratio ? 8 : 4));
}

struct columns {
    const char *names[2];
    const float *values[2];
    int n;
};

static struct columns columns_of(const struct vt_tinker_batch *b, size_t i)
{
    const struct vt_train_seq *q = &b->seqs[i];

    if (b->has_ratio)
        return (struct columns){{"logprobs", "advantages"}, {q->logq, q->advantage}, 2};
    return (struct columns){{"weights", NULL}, {b->weights ? b->weights[i] : NULL, NULL}, 1};
}

/* --- batches as protobuf --- */

static void put_i32(struct vt_buf *b, int32_t v)
{
    const uint32_t u = (uint32_t)v;
    const unsigned char bytes[4] = {(unsigned char)u, (unsigned char)(u >> 8), (unsigned char)(u >> 16),
                                    (unsigned char)(u >> 24)};

    vt_buf_add(b, bytes, sizeof bytes);
}

static void put_f32(struct vt_buf *b, float v)
{
    int32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_i32(b, bits);
}

/* Tensor: 1 dense, 3 dtype, 4 shape. As the value of a map's entry. */
static void put_tensor(struct vt_buf *b, const char *name, const struct vt_train_seq *q, const float *column,
                       bool is_targets)
{
    const size_t n = n_predictions(q), entry = vt_pb_begin(b, 2);
    size_t value, dense;

    vt_pb_put_str(b, 1, name);
    value = vt_pb_begin(b, 2);
    dense = vt_pb_begin(b, 1);
    for (size_t i = 0; i < n; i++) {
        if (is_targets) {
            put_i32(b, token_at(q, i + 1));
            put_i32(b, 0);
        } else {
            put_f32(b, column_at(q, column, i));
        }
    }
    vt_pb_end(b, dense);
    vt_pb_put_int(b, 3, is_targets ? INT64 : FLOAT32);
    vt_pb_put_int(b, 4, (int64_t)n);
    vt_pb_end(b, value);
    vt_pb_end(b, entry);
}

/* Datum: 1 model_input (a chunk: 1 encoded_text: 1 tokens), 2 loss_fn_inputs. */
static void put_datum(struct vt_buf *b, const struct vt_tinker_batch *batch, size_t i)
{
    const struct vt_train_seq *q = &batch->seqs[i];
    const struct columns c = columns_of(batch, i);
    const size_t datum = vt_pb_begin(b, 3), chunk = vt_pb_begin(b, 1), text = vt_pb_begin(b, 1),
                 tokens = vt_pb_begin(b, 1);

    for (size_t t = 0; t < n_predictions(q); t++)
        put_i32(b, token_at(q, t));
    vt_pb_end(b, tokens);
    vt_pb_end(b, text);
    vt_pb_end(b, chunk);
    put_tensor(b, "target_tokens", q, NULL, true);
    for (int k = 0; k < c.n; k++)
        put_tensor(b, c.names[k], q, c.values[k], false);
    vt_pb_end(b, datum);
}

/* Numbers of the loss go into field 5, which servers of every age read, and field 7, which the newest client writes. */
static void put_config(struct vt_buf *b, const struct vt_tinker_batch *batch)
{
    for (size_t i = 0; i < batch->n_config; i++) {
        const size_t entry = vt_pb_begin(b, 5);

        vt_pb_put_str(b, 1, batch->config_names[i]);
        vt_pb_put_double(b, 2, batch->config[i]);
        vt_pb_end(b, entry);
    }
    for (size_t i = 0; i < batch->n_config; i++) {
        const size_t entry = vt_pb_begin(b, 7);
        size_t value;

        vt_pb_put_str(b, 1, batch->config_names[i]);
        value = vt_pb_begin(b, 2);
        vt_pb_put_double(b, 1, batch->config[i]);
        vt_pb_end(b, value);
        vt_pb_end(b, entry);
    }
}

static void write_proto(struct vt_buf *b, const char *model, int seq, const struct vt_tinker_batch *batch)
{
    vt_pb_put_str(b, 1, model);
    vt_pb_put_int(b, 2, seq);
    for (size_t i = batch->first; i < batch->first + batch->n; i++)
        put_datum(b, batch, i);
    vt_pb_put_str(b, 4, batch->loss);
    if (batch->forward_only)
        vt_pb_put_int(b, 6, 1);
    put_config(b, batch);
}

/* --- batches as JSON --- */

static void write_json_tensor(struct vt_buf *b, const char *name, const struct vt_train_seq *q, const float *column,
                              bool is_targets)
{
    const size_t n = n_predictions(q);

    vt_buf_printf(b, "%s\"%s\":{\"data\":[", is_targets ? "" : ",", name);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            vt_buf_putc(b, ',');
        if (is_targets)
            vt_buf_printf(b, "%d", token_at(q, i + 1));
        else
            vt_json_write_double(b, (double)column_at(q, column, i));
    }
    vt_buf_printf(b, "],\"dtype\":\"%s\",\"shape\":[%zu]}", is_targets ? "int64" : "float32", n);
}

static void write_json_datum(struct vt_buf *b, const struct vt_tinker_batch *batch, size_t i)
{
    const struct vt_train_seq *q = &batch->seqs[i];
    const struct columns c = columns_of(batch, i);

    vt_buf_puts(b, "{\"model_input\":{\"chunks\":[{\"type\":\"encoded_text\",\"tokens\":[");
    for (size_t t = 0; t < n_predictions(q); t++)
        vt_buf_printf(b, t > 0 ? ",%d" : "%d", token_at(q, t));
    vt_buf_puts(b, "]}]},\"loss_fn_inputs\":{");
    write_json_tensor(b, "target_tokens", q, NULL, true);
    for (int k = 0; k < c.n; k++)
        write_json_tensor(b, c.names[k], q, c.values[k], false);
    vt_buf_puts(b, "}}");
}

static void write_json(struct vt_buf *b, const char *model, int seq, const struct vt_tinker_batch *batch)
{
    vt_buf_printf(b, "{\"%s\":{\"data\":[", batch->forward_only ? "forward_input" : "forward_backward_input");
    for (size_t i = batch->first; i < batch->first + batch->n; i++) {
        if (i > batch->first)
            vt_buf_putc(b, ',');
        write_json_datum(b, batch, i);
    }
    vt_buf_printf(b, "],\"loss_fn\":\"%s\"", batch->loss);
    for (size_t i = 0; i < batch->n_config; i++) {
        vt_buf_printf(b, i == 0 ? ",\"loss_fn_config\":{\"%s\":" : ",\"%s\":", batch->config_names[i]);
        vt_json_write_double(b, batch->config[i]);
    }
    vt_buf_puts(b, batch->n_config > 0 ? "}},\"model_id\":" : "},\"model_id\":");
    vt_json_write_string(b, model, strlen(model));
    vt_buf_printf(b, ",\"seq_id\":%d}", seq);
}

vt_status vt_tinker_write_batch(enum vt_tinker_wire wire, const char *model, int seq, const struct vt_tinker_batch *b,
                                char **body, size_t *len, vt_err *err)
{
    struct vt_buf out;
    vt_status status;

    vt_buf_init(&out, MAX_BODY);
    if (wire == VT_TINKER_JSON)
        write_json(&out, model, seq, b);
    else
        write_proto(&out, model, seq, b);
    status = vt_buf_check(&out, "a batch on the wire", err);
    if (status == VT_OK)
        *body = vt_buf_take(&out, len);
    vt_buf_free(&out);
    return status;
}

/* --- results of batches --- */

static float read_f32(const unsigned char *p)
{
    const uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static float read_bf16(const unsigned char *p)
{
    const uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint64_t read_u64(const unsigned char *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static vt_status bad_result(vt_err *err)
{
    return vt_fail(err, VT_EFORMAT, "the service's result is no message of its protocol");
}

/* Takes the log-probabilities of sequence i: n of them, one for each prediction. at(arg, k): the k-th. */
static vt_status take(const struct vt_tinker_batch *b, size_t i, size_t n, float (*at)(const void *arg, size_t k),
                      const void *arg, vt_err *err)
{
    const struct vt_train_seq *q;

    if (i >= b->n)
        return vt_fail(err, VT_ENET, "the service gave results of more sequences than the %zu that it was sent", b->n);
    q = &b->seqs[b->first + i];
    if (n != n_predictions(q))
        return vt_fail(err, VT_ENET, "the service gave %zu log-probabilities for sequence %zu of %zu predictions", n,
                       b->first + i + 1, n_predictions(q));
    for (int t = 0; t < q->n_tokens; t++) {
        if (!vt_remote_logprob((double)at(arg, (size_t)(q->n_prompt - 1 + t)), &q->logp[t]))
            return vt_fail(err, VT_ENET, "the service gave no log-probability for token %d of sequence %zu", t + 1,
                           b->first + i + 1);
    }
    return VT_OK;
}

/* BatchedTensor: 1 data, 2 offsets, 3 dtype. */
struct batched {
    const unsigned char *data, *offsets;
    size_t n_data, n_offsets;
    int dtype;
};

static bool read_batched(const struct vt_pb_field *value, struct batched *out)
{
    struct vt_pb r = vt_pb_of(value->p, value->n);
    struct vt_pb_field f;

    *out = (struct batched){.dtype = FLOAT32};
    while (vt_pb_next(&r, &f)) {
        if (f.number == 1 && f.type == VT_PB_BYTES) {
            out->data = f.p;
            out->n_data = f.n;
        } else if (f.number == 2 && f.type == VT_PB_BYTES) {
            out->offsets = f.p;
            out->n_offsets = f.n;
        } else if (f.number == 3 && f.type == VT_PB_VARINT) {
            out->dtype = (int)f.value;
        }
    }
    return !r.is_bad && out->n_offsets % 8 == 0;
}

struct array {
    const unsigned char *p;
    int dtype;
};

static float array_at(const void *arg, size_t k)
{
    const struct array *a = arg;

    return a->dtype == BFLOAT16 ? read_bf16(a->p + 2 * k) : read_f32(a->p + 4 * k);
}

/* ArrayRecord: 2 fields (a map), 3 num_datums. *at: how many sequences came before. */
static vt_status read_record(const struct vt_pb_field *record, const struct vt_tinker_batch *b, size_t *at, vt_err *err)
{
    struct vt_pb r = vt_pb_of(record->p, record->n);
    struct vt_pb_field f;
    struct batched logprobs = {0};

    while (vt_pb_next(&r, &f)) {
        struct vt_pb entry = vt_pb_of(f.p, f.type == VT_PB_BYTES ? f.n : 0);
        struct vt_pb_field e, value = {0};
        bool is_logprobs = false;

        if (f.number != 2)
            continue;
        while (vt_pb_next(&entry, &e)) {
            if (e.number == 1 && e.type == VT_PB_BYTES)
                is_logprobs = e.n == 8 && memcmp(e.p, "logprobs", 8) == 0;
            else if (e.number == 2 && e.type == VT_PB_BYTES)
                value = e;
        }
        if (entry.is_bad || (is_logprobs && !read_batched(&value, &logprobs)))
            return bad_result(err);
    }
    if (r.is_bad || logprobs.n_offsets < 8 || (logprobs.dtype != FLOAT32 && logprobs.dtype != BFLOAT16))
        return bad_result(err);
    for (size_t i = 0; i + 1 < logprobs.n_offsets / 8; i++, (*at)++) {
        const uint64_t from = read_u64(logprobs.offsets + 8 * i), to = read_u64(logprobs.offsets + 8 * (i + 1));
        const uint64_t size = logprobs.dtype == BFLOAT16 ? 2 : 4;

        if (from > to || to > logprobs.n_data || (to - from) % size != 0)
            return bad_result(err);
        VT_TRY(take(b, *at, (size_t)((to - from) / size), array_at,
                    &(struct array){.p = logprobs.data + from, .dtype = logprobs.dtype}, err));
    }
    return VT_OK;
}

/* ForwardBackwardOutput: 2 loss_fn_outputs. */
static vt_status read_proto_batch(const struct vt_tinker_reply *reply, const struct vt_tinker_batch *b, size_t *n,
                                  vt_err *err)
{
    struct vt_pb r = vt_pb_of(reply->proto, reply->len);
    struct vt_pb_field f;

    while (vt_pb_next(&r, &f))
        if (f.number == 2 && f.type == VT_PB_BYTES)
            VT_TRY(read_record(&f, b, n, err));
    return r.is_bad ? bad_result(err) : VT_OK;
}

/* Lists of cJSON are walked, not indexed: the values of one are copied first. */
struct values {
    float *v;
    size_t n;
};

static float value_at(const void *arg, size_t k)
{
    return ((const struct values *)arg)->v[k];
}

static vt_status read_list(const vt_json *list, struct values *out, vt_err *err)
{
    size_t i = 0;

    out->n = vt_json_count(list);
    out->v = vt_alloc_array(out->n + 1, sizeof *out->v);
    if (!out->v)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu log-probabilities", out->n);
    for (const vt_json *c = vt_json_first(list); c; c = vt_json_next(c))
        out->v[i++] = (float)vt_json_num(c, (double)NAN);
    return VT_OK;
}

static vt_status read_json_batch(const vt_json *j, const struct vt_tinker_batch *b, size_t *n, vt_err *err)
{
    for (const vt_json *o = vt_json_first(vt_json_get(j, "loss_fn_outputs")); o; o = vt_json_next(o), (*n)++) {
        struct values values;
        vt_status status = read_list(vt_json_get(vt_json_get(o, "logprobs"), "data"), &values, err);

        if (status == VT_OK)
            status = take(b, *n, values.n, value_at, &values, err);
        free(values.v);
        VT_TRY(status);
    }
    return VT_OK;
}

vt_status vt_tinker_read_batch(const struct vt_tinker_reply *r, const struct vt_tinker_batch *b, vt_err *err)
{
    size_t n = 0;

    VT_TRY(r->proto ? read_proto_batch(r, b, &n, err) : read_json_batch(r->json, b, &n, err));
    return n == b->n
               ? VT_OK
               : vt_fail(err, VT_ENET, "the service gave results of %zu sequences for %zu that it was sent", n, b->n);
}

/* --- samples --- */

void vt_tinker_samples_free(struct vt_tinker_samples *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->seqs[i].tokens);
        free(s->seqs[i].logprobs);
    }
    free(s->seqs);
    free(s->prompt);
    *s = (struct vt_tinker_samples){0};
}

static vt_status add_sequence(struct vt_tinker_samples *out, struct vt_tinker_sequence **made, vt_err *err)
{
    void *more = vt_realloc_array(out->seqs, out->n + 1, sizeof *out->seqs);

    if (!more)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    out->seqs = more;
    *made = &out->seqs[out->n++];
    **made = (struct vt_tinker_sequence){0};
    return VT_OK;
}

/* What is there must be as long as the tokens are. */
static vt_status check_sequence(const struct vt_tinker_sequence *s, size_t n_logprobs, vt_err *err)
{
    if (n_logprobs != s->n)
        return vt_fail(err, VT_ENET, "the service gave %zu log-probabilities for a sample of %zu tokens", n_logprobs,
                       s->n);
    for (size_t i = 0; i < s->n; i++)
        if (!vt_remote_logprob((double)s->logprobs[i], &s->logprobs[i]))
            return vt_fail(err, VT_ENET, "the service gave no log-probability for token %zu of a sample", i + 1);
    return VT_OK;
}

static vt_status copy_floats(const struct vt_pb_field *f, float **out, size_t *n, vt_err *err)
{
    if (f->n % 4 != 0)
        return bad_result(err);
    *n = f->n / 4;
    *out = vt_alloc_array(*n + 1, sizeof **out);
    if (!*out)
        return vt_fail(err, VT_ENOMEM, "out of memory for %zu log-probabilities", *n);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = read_f32(f->p + 4 * i);
    return VT_OK;
}

/* SampledSequence: 1 stop_reason (0 STOP, absent too), 2 tokens, 3 logprobs. */
static vt_status read_proto_sequence(const struct vt_pb_field *field, struct vt_tinker_samples *out, vt_err *err)
{
    struct vt_pb r = vt_pb_of(field->p, field->n);
    struct vt_tinker_sequence *s;
    struct vt_pb_field f;
    size_t n_logprobs = 0;

    VT_TRY(add_sequence(out, &s, err));
    s->has_stopped = true;
    while (vt_pb_next(&r, &f)) {
        if (f.number == 1 && f.type == VT_PB_VARINT) {
            s->has_stopped = f.value == 0;
        } else if (f.number == 2 && f.type == VT_PB_BYTES && !s->tokens && f.n % 4 == 0) {
            s->n = f.n / 4;
            s->tokens = vt_alloc_array(s->n + 1, sizeof *s->tokens);
            if (!s->tokens)
                return vt_fail(err, VT_ENOMEM, "out of memory for a sample of %zu tokens", s->n);
            for (size_t i = 0; i < s->n; i++) {
                const float bits = read_f32(f.p + 4 * i);

                memcpy(&s->tokens[i], &bits, sizeof bits);
            }
        } else if (f.number == 3 && f.type == VT_PB_BYTES && !s->logprobs) {
            VT_TRY(copy_floats(&f, &s->logprobs, &n_logprobs, err));
        }
    }
    return r.is_bad || !s->tokens || !s->logprobs ? bad_result(err) : check_sequence(s, n_logprobs, err);
}

/* SampleResponse: 1 sequences, 2 prompt_logprobs, 4 prompt_cache_hit_tokens. */
static vt_status read_proto_samples(const struct vt_tinker_reply *reply, struct vt_tinker_samples *out, vt_err *err)
{
    struct vt_pb r = vt_pb_of(reply->proto, reply->len);
    struct vt_pb_field f;

    while (vt_pb_next(&r, &f)) {
        if (f.number == 1 && f.type == VT_PB_BYTES)
            VT_TRY(read_proto_sequence(&f, out, err));
        else if (f.number == 2 && f.type == VT_PB_BYTES && !out->prompt)
            VT_TRY(copy_floats(&f, &out->prompt, &out->n_prompt, err));
        else if (f.number == 4 && f.type == VT_PB_VARINT)
            out->n_cached = (int64_t)(f.value & INT32_MAX);
    }
    return r.is_bad ? bad_result(err) : VT_OK;
}

static vt_status read_json_sequence(const vt_json *j, struct vt_tinker_samples *out, vt_err *err)
{
    const vt_json *tokens = vt_json_get(j, "tokens");
    struct vt_tinker_sequence *s;
    struct values logprobs;
    size_t i = 0;

    VT_TRY(add_sequence(out, &s, err));
    s->has_stopped = strcmp(vt_json_str(vt_json_get(j, "stop_reason"), ""), "length") != 0;
    s->n = vt_json_count(tokens);
    s->tokens = vt_alloc_array(s->n + 1, sizeof *s->tokens);
    if (!s->tokens)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample of %zu tokens", s->n);
    for (const vt_json *t = vt_json_first(tokens); t; t = vt_json_next(t))
        s->tokens[i++] = vt_json_int(t, -1) > INT32_MAX ? -1 : (int32_t)vt_json_int(t, -1);
    VT_TRY(read_list(vt_json_get(j, "logprobs"), &logprobs, err));
    s->logprobs = logprobs.v;
    return check_sequence(s, logprobs.n, err);
}

static vt_status read_json_samples(const vt_json *j, struct vt_tinker_samples *out, vt_err *err)
{
    const vt_json *prompt = vt_json_get(j, "prompt_logprobs");

    out->n_cached = vt_json_int(vt_json_get(j, "prompt_cache_hit_tokens"), 0);
    for (const vt_json *s = vt_json_first(vt_json_get(j, "sequences")); s; s = vt_json_next(s))
        VT_TRY(read_json_sequence(s, out, err));
    if (vt_json_is_array(prompt)) {
        struct values values;
        const vt_status status = read_list(prompt, &values, err);

        out->prompt = values.v;
        out->n_prompt = values.n;
        return status;
    }
    return VT_OK;
}

vt_status vt_tinker_read_samples(const struct vt_tinker_reply *r, struct vt_tinker_samples *out, vt_err *err)
{
    vt_status status;

    *out = (struct vt_tinker_samples){.is_json = !r->proto};
    status = r->proto ? read_proto_samples(r, out, err) : read_json_samples(r->json, out, err);
    if (status != VT_OK)
        vt_tinker_samples_free(out);
    return status;
}
