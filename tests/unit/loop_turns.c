/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_turns.c: posting from threads, timers, descriptors, signals and an HTTP client's transfers (over file://).
 */
#include "base/clock.h"
#include "harness.h"
#include "loop/loop.h"
#include "loop/loop_http.h"
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

static vt_err err;
static vt_loop *loop;

static void start(void)
{
    CHECK_OK(vt_loop_new(&loop, &err), err);
}

static int turn(int timeout_ms)
{
    int n = -1;
    CHECK_OK(vt_loop_turn(loop, timeout_ms, &n, &err), err);
    return n;
}

static int order[4096], n_order;

static void note(void *arg)
{
    if (n_order < 4096)
        order[n_order++] = (int)(intptr_t)arg;
}

static void timers_fire_in_order(void)
{
    start();
    n_order = 0;
    vt_timer cancelled = 0;
    for (int i = 0; i < 50; i++) {
        int rank = (i * 37) % 50;
        vt_timer id = vt_loop_after(loop, rank * 0.0005, note, (void *)(intptr_t)rank);
        if (rank == 25)
            cancelled = id;
    }
    vt_loop_cancel(loop, cancelled);
    vt_loop_cancel(loop, 999999);
    while (n_order < 49)
        turn(-1);
    CHECK_INT(turn(30), 0); /* the cancelled one would have fired by now */
    for (int i = 1; i < n_order; i++)
        CHECK(order[i] > order[i - 1] && order[i] != 25);
    vt_loop_free(loop);
}

/* The last takes the place of the one that is cancelled, and is earlier than what is above that place. */
static void cancelling_keeps_the_order(void)
{
    static const int made[] = {4, 6, 5, 3, 7, 2, 1}, left[] = {1, 2, 3, 4, 5, 7};
    vt_timer cancelled = 0;
    start();
    n_order = 0;
    for (int i = 0; i < 7; i++) {
        vt_timer id = vt_loop_after(loop, made[i] * 1e-3, note, (void *)(intptr_t)made[i]);
        if (made[i] == 6)
            cancelled = id;
    }
    vt_loop_cancel(loop, cancelled);
    usleep(15000); /* all are due in one turn */
    while (n_order < 6)
        turn(-1);
    for (int i = 0; i < 6; i++)
        CHECK_INT(order[i], left[i]);
    vt_loop_free(loop);
}

static void the_far_future_does_not_come(void)
{
    start();
    n_order = 0;
    vt_loop_after(loop, 1e300, note, NULL);
    vt_loop_after(loop, INFINITY, note, NULL);
    CHECK_INT(turn(0), 0);
    CHECK_INT(turn(0), 0);
    vt_loop_after(loop, NAN, note, (void *)(intptr_t)1); /* now */
    CHECK_INT(turn(-1), 1);
    CHECK_INT(order[0], 1);
    vt_loop_free(loop);
}

static void again(void *arg)
{
    note(arg);
    vt_loop_after(loop, -1, again, arg);
}

static void timer_made_by_timer_waits_a_turn(void)
{
    start();
    n_order = 0;
    vt_loop_after(loop, 0, again, NULL);
    for (int i = 1; i <= 5; i++) {
        CHECK_INT(turn(-1), 1);
        CHECK_INT(n_order, i);
    }
    vt_loop_free(loop);
}

static struct vt_post posts[4][1000];

static void *post_many(void *arg)
{
    intptr_t thread = (intptr_t)arg;
    for (int i = 0; i < 1000; i++) {
        posts[thread][i] = (struct vt_post){.fn = note, .arg = (void *)(thread * 1000 + i)};
        vt_loop_post(loop, &posts[thread][i]);
    }
    return NULL;
}

static void posts_arrive_in_order(void)
{
    pthread_t threads[4];
    int next[4] = {0};
    start();
    n_order = 0;
    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, post_many, (void *)i);
    while (n_order < 4000)
        turn(-1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < n_order; i++) {
        int thread = order[i] / 1000;
        CHECK_INT(order[i] % 1000, next[thread]);
        next[thread]++;
    }
    vt_loop_free(loop);
}

static void post_self(void *arg)
{
    note(NULL);
    vt_loop_post(loop, arg);
}

static void raise_flag(void *arg)
{
    *(bool *)arg = true;
}

static void posting_callback_starves_nobody(void)
{
    start();
    bool has_fired = false;
    struct vt_post again = {.fn = post_self, .arg = &again};
    post_self(&again);
    vt_loop_after(loop, 0.002, raise_flag, &has_fired);
    for (int i = 0; i < 1000000 && !has_fired; i++) {
        n_order = 0;
        turn(-1);
        CHECK_INT(n_order, 1); /* one posted call a turn */
    }
    CHECK(has_fired);
    vt_loop_free(loop);
}

struct pipe_end {
    int fd, other;
    int n_read;
};

static void read_byte(void *arg)
{
    struct pipe_end *p = arg;
    char c;
    if (read(p->fd, &c, 1) == 1)
        p->n_read++;
    vt_loop_unwatch(loop, p->other); /* ready too, but must not be called after this */
}

static void watches(void)
{
    int a[2], b[2];
    start();
    CHECK_INT(pipe(a), 0);
    CHECK_INT(pipe(b), 0);
    struct pipe_end ends[2] = {{.fd = a[0], .other = b[0]}, {.fd = b[0], .other = a[0]}};
    CHECK_OK(vt_loop_watch(loop, a[0], read_byte, &ends[0], &err), err);
    CHECK_OK(vt_loop_watch(loop, b[0], read_byte, &ends[1], &err), err);
    CHECK_INT(vt_loop_watch(loop, a[0], read_byte, &ends[0], &err), VT_EINVAL);
    CHECK_INT(vt_loop_watch(loop, -1, read_byte, &ends[0], &err), VT_EINVAL);
    CHECK_INT(turn(0), 0);
    CHECK_INT(write(a[1], "x", 1), 1);
    CHECK_INT(write(b[1], "x", 1), 1);
    CHECK_INT(turn(1000), 1);
    CHECK_INT(ends[0].n_read + ends[1].n_read, 1);
    close(a[1]);
    close(b[1]);
    CHECK_INT(turn(1000), 1); /* hang-up of the one that is left */
    vt_loop_unwatch(loop, a[0]);
    vt_loop_unwatch(loop, b[0]);
    CHECK_INT(turn(0), 0);
    close(a[0]);
    close(b[0]);
    vt_loop_free(loop);
}

static void note_descriptor(void *arg)
{
    char c;
    note((void *)(intptr_t)1);
    CHECK_INT(read(*(int *)arg, &c, 1), 1);
}

static int note_transfers(void *arg)
{
    note(arg);
    return 0;
}

/* All four are due in one turn. */
static void order_of_a_turn(void)
{
    int ends[2];
    start();
    n_order = 0;
    CHECK_INT(pipe(ends), 0);
    CHECK_INT(write(ends[1], "x", 1), 1);
    struct vt_post post = {.fn = note, .arg = (void *)(intptr_t)4};
    vt_loop_post(loop, &post);
    vt_loop_after(loop, 0, note, (void *)(intptr_t)3);
    CHECK(vt_loop_http(loop, note_transfers, (void *)(intptr_t)2) != NULL);
    CHECK_OK(vt_loop_watch(loop, ends[0], note_descriptor, &ends[0], &err), err);
    CHECK_INT(turn(1000), 3);
    CHECK_INT(n_order, 4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(order[i], i + 1);
    vt_loop_unwatch(loop, ends[0]);
    close(ends[0]);
    close(ends[1]);
    vt_loop_free(loop);
}

static int last_signal;

static void on_signal(void *arg, int signo)
{
    (void)arg;
    last_signal = signo;
}

static void signals_become_callbacks(void)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGUSR1};
    start();
    CHECK_OK(vt_loop_on_signal(loop, on_signal, NULL, &err), err);
    for (int i = 0; i < 3; i++) {
        last_signal = 0;
        kill(getpid(), wanted[i]);
        turn(1000);
        CHECK_INT(last_signal, wanted[i]);
    }
    vt_loop_free(loop);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGINT)); /* the mask is as before */
}

static int transfers_done;

static int collect_transfers(void *arg)
{
    CURLM *multi = *(CURLM **)arg;
    int left, n = 0;
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left)); n++)
        transfers_done += m->msg == CURLMSG_DONE && m->data.result == CURLE_OK;
    return n;
}

static size_t count_bytes(char *p, size_t size, size_t n, void *arg)
{
    (void)p;
    *(size_t *)arg += size * n;
    return size * n;
}

static void transfers_progress(void)
{
    CURLM *multi = NULL;
    size_t n_bytes = 0;
    start();
    multi = vt_loop_http(loop, collect_transfers, &multi);
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, "file://" VT_SOURCE_DIR "/splits/l1_seed42.json");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &n_bytes);
    curl_multi_add_handle(multi, easy);
    transfers_done = 0;
    for (int i = 0; i < 1000 && !transfers_done; i++)
        turn(100);
    CHECK_INT(transfers_done, 1);
    CHECK(n_bytes > 1000);
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    vt_loop_free(loop);
}

static const struct test_case cases[] = {
    TEST(timers_fire_in_order),
    TEST(cancelling_keeps_the_order),
    TEST(the_far_future_does_not_come),
    TEST(timer_made_by_timer_waits_a_turn),
    TEST(posts_arrive_in_order),
    TEST(posting_callback_starves_nobody),
    TEST(watches),
    TEST(order_of_a_turn),
    TEST(signals_become_callbacks),
    TEST(transfers_progress),
};
TEST_MAIN(cases)
