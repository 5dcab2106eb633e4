/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_snapshot.c: weights and their folders over both backends: what a snapshot says of itself, that weights come
 * back under their id and train on to the same state, also after the policy was closed, and what is refused.
 */
#include "policy_common.h"

static char dir[64];

static vt_status save(vt_weights *w, enum vt_snapshot_kind kind)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_weights_save(w, dir, kind, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

static vt_status load(vt_policy *p, vt_weights **out)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_weights_load(p, dir, out, vt_mail_deliver, &m, NULL, &err);

    return status == VT_OK ? vt_mail_wait(&m, &err) : status;
}

static void new_folder(void)
{
    snprintf(dir, sizeof dir, "/tmp/vegttt-snapshot-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
}

static void remove_folder(void)
{
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

/* The step after the saved weights is the same step when they come back: into this policy and into another one, which
 * knows nothing but the folder (and, where the state is the server's, the server). */
static void weights_survive_a_folder(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *one = update(p, start, 1e-2f, "one"), *two = update(p, one, 1e-2f, "two");
    const double logp_one = logp_of(p, one, 0), logp_two = logp_of(p, two, 0);
    struct vt_snapshot info = {0};
    char id[65], id_two[65];

    new_folder();
    CHECK_INT(vt_snapshot_read(p, dir, &info, &err), VT_ENOENT);
    CHECK_OK(save(one, VT_SNAPSHOT_TRAINING), err);
    CHECK_OK(vt_snapshot_read(p, dir, &info, &err), err);
    CHECK_STR(info.id, vt_weights_id(one));
    CHECK_INT(info.step, 1);
    CHECK(info.is_trainable);
    memcpy(id, vt_weights_id(one), sizeof id);
    memcpy(id_two, vt_weights_id(two), sizeof id_two);
    vt_weights_unref(start);
    vt_weights_unref(one);
    vt_weights_unref(two);
    for (int k = 0; k < 2; k++) {
        vt_weights *back = NULL, *again;

        CHECK_OK(load(p, &back), err);
        CHECK_STR(vt_weights_id(back), id);
        CHECK_INT(vt_weights_step(back), 1);
        CHECK_NEAR(logp_of(p, back, 0), logp_one, 0);
        again = update(p, back, 1e-2f, "two");
        CHECK_NEAR(logp_of(p, again, 0), logp_two, 0);
        CHECK_INT(strcmp(vt_weights_id(again), id_two) == 0, vt_policy_caps(p)->ids_ahead);
        vt_weights_unref(back);
        vt_weights_unref(again);
        vt_policy_close(p);
        if (k == 0)
            p = open_policy();
    }
    remove_folder();
}

/* Without what training needs the folder is smaller, samples as before and cannot be trained on; where a snapshot is a
 * name, there is nothing to leave out. */
static void a_snapshot_for_sampling(void)
{
    vt_policy *p = open_policy();
    vt_weights *start = vt_policy_start(p), *one = update(p, start, 1e-2f, "one"), *back = NULL;
    const bool is_durable = vt_policy_caps(p)->durable_snapshots;
    struct vt_snapshot info = {0};
    char id[65];
    struct batch b;
    struct vt_mail m = VT_MAIL;
    vt_forward *f = NULL;
    vt_status status;

    new_folder();
    CHECK_OK(save(one, VT_SNAPSHOT_EXPORT), err);
    CHECK_OK(vt_snapshot_read(p, dir, &info, &err), err);
    CHECK_INT(info.is_trainable, is_durable);
    CHECK_INT(strcmp(info.id, vt_weights_id(one)) == 0, is_durable); /* rounded to bf16: other weights */
    CHECK_OK(load(p, &back), err);
    CHECK_STR(vt_weights_id(back), info.id);
    CHECK_NEAR(logp_of(p, back, 0), logp_of(p, one, 0), is_durable ? 0 : 0.05);
    if (!is_durable) { /* rounding again changes nothing, so that the id stays */
        memcpy(id, info.id, sizeof id);
        CHECK_OK(save(back, VT_SNAPSHOT_EXPORT), err);
        CHECK_OK(vt_snapshot_read(p, dir, &info, &err), err);
        CHECK_STR(info.id, id);
        CHECK_OK(save(back, VT_SNAPSHOT_EXACT), err);
        CHECK_OK(vt_snapshot_read(p, dir, &info, &err), err);
        CHECK_STR(info.id, id);
    }
    vt_weights_unref(back);
    back = NULL;
    CHECK_OK(save(one, VT_SNAPSHOT_EXACT), err);
    CHECK_OK(vt_snapshot_read(p, dir, &info, &err), err);
    CHECK_INT(info.is_trainable, is_durable);
    CHECK_OK(load(p, &back), err);
    CHECK_NEAR(logp_of(p, back, 0), logp_of(p, one, 0), 0);
    make_batch(&b);
    status = vt_policy_forward(p, back, b.seqs, 2, false, &f, vt_mail_deliver, &m, NULL, &err);
    if (is_durable) {
        CHECK_OK(vt_mail_wait(&m, &err), err);
    } else {
        CHECK_INT(status, VT_EUNSUPPORTED);
        CHECK(strstr(err.msg, "without fp32 parameters") != NULL);
        CHECK_INT(save(back, VT_SNAPSHOT_TRAINING), VT_EINVAL);
    }
    vt_forward_forget(f);
    vt_weights_unref(start);
    vt_weights_unref(one);
    vt_weights_unref(back);
    vt_policy_close(p);
    remove_folder();
}

static void refusals_name_what_and_why(void)
{
    vt_policy *p = open_policy();
    vt_weights *base = vt_policy_base(p), *back = NULL;
    struct vt_snapshot info;

    new_folder();
    CHECK_INT(save(base, VT_SNAPSHOT_TRAINING), VT_EINVAL);
    CHECK(strstr(err.msg, dir) != NULL);
    CHECK_INT(load(p, &back), VT_ENOENT);
    CHECK(back == NULL && strstr(err.msg, dir) != NULL);
    snprintf(dir, sizeof dir, "/nowhere/at/all");
    CHECK_INT(vt_snapshot_read(p, dir, &info, &err), VT_ENOENT);
    vt_weights_unref(base);
    vt_policy_close(p);
}

/* Weights of another model are refused before anything is loaded. */
static void another_base_is_refused(void)
{
    const struct vt_policy_opts o = {.rank = 4, .n_threads = 1};
    vt_policy *p = open_policy(), *other = NULL;
    vt_weights *start = vt_policy_start(p), *one = update(p, start, 1e-2f, "one"), *back = NULL;
    struct vt_snapshot info;
    char copy[] = "/tmp/vegttt-other-XXXXXX", command[512];

    if (!is_double()) {
        new_folder();
        CHECK_OK(save(one, VT_SNAPSHOT_TRAINING), err);
        /* The same model with one byte more is another one. */
        CHECK(mkdtemp(copy) != NULL);
        snprintf(command, sizeof command,
                 "cp %s/* %s/ && "
                 "python3 - %s <<'END'\nimport sys\np = sys.argv[1] + '/model.safetensors'\n"
                 "b = bytearray(open(p, 'rb').read())\nb[-1] ^= 1\nopen(p, 'wb').write(b)\nEND",
                 CHAT, copy, copy);
        CHECK_INT(system(command), 0);
        CHECK_OK(open_spec(copy, &o, &other), err);
        CHECK_INT(vt_snapshot_read(other, dir, &info, &err), VT_EINVAL);
        CHECK_INT(load(other, &back), VT_EINVAL);
        CHECK(strstr(err.msg, "another base model") != NULL);
        vt_policy_close(other);
        CHECK_OK(vt_fs_remove_tree(copy, &err), err);
        remove_folder();
    }
    vt_weights_unref(start);
    vt_weights_unref(one);
    vt_policy_close(p);
}

static const struct test_case cases[] = {TEST(weights_survive_a_folder), TEST(a_snapshot_for_sampling),
                                         TEST(refusals_name_what_and_why), TEST(another_base_is_refused)};
POLICY_TEST_MAIN(cases)
