/* SPDX-License-Identifier: Apache-2.0
 *
 * net_http.c: the HTTP client against a scripted server: one thread that answers connection after connection with the
 * bytes of a list, and keeps what it was sent. What the client waits between attempts is read where it says it, in the
 * judge; nothing here looks at a clock.
 */
#include "base/fs.h"
#include "harness.h"
#include "net/net.h"
#include "served.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

static vt_err err;

/* --- a scripted server --- */

enum { MAX_SEEN = 64 << 10 };

struct scripted {
    int fd, port;
    pthread_t thread;
    const char *const *answers; /* in order; the last one again and again; "" = close without a word */
    int n_answers;
    _Atomic int n_connections, n_requests;
    char seen[MAX_SEEN]; /* the last request */
};

/* Reads one request; false at the end of the connection. */
static bool read_request(struct scripted *s, int fd)
{
    size_t n = 0, need = 0;

    for (;;) {
        const char *end, *length;
        ssize_t got = recv(fd, s->seen + n, MAX_SEEN - 1 - n, 0);

        if (got <= 0)
            return false;
        n += (size_t)got;
        s->seen[n] = '\0';
        end = strstr(s->seen, "\r\n\r\n");
        length = strcasestr(s->seen, "content-length:");
        need = end ? (size_t)(end - s->seen) + 4 + (length ? strtoul(length + 15, NULL, 10) : 0) : MAX_SEEN;
        if (n >= need)
            return true;
    }
}

static void *serve_script(void *arg)
{
    struct scripted *s = arg;

    for (;;) {
        const int fd = accept(s->fd, NULL, NULL);

        if (fd < 0)
            return NULL;
        s->n_connections++;
        while (read_request(s, fd)) {
            const int i = s->n_requests < s->n_answers ? s->n_requests : s->n_answers - 1;
            const char *answer = s->answers[i];

            s->n_requests++;
            if (!answer[0] || send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0 || strstr(answer, "Connection: close"))
                break;
        }
        close(fd);
    }
}

static void start(struct scripted *s, const char *const *answers, int n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    memset(s, 0, sizeof *s);
    s->answers = answers;
    s->n_answers = n;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(s->fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(s->fd, 64) == 0);
    getsockname(s->fd, (struct sockaddr *)&a, &len);
    s->port = ntohs(a.sin_port);
    CHECK_INT(pthread_create(&s->thread, NULL, serve_script, s), 0);
}

static void stop(struct scripted *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#define OK_BODY(text, n) "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " n "\r\n\r\n" text
#define FAIL_HEAD(status, more) "HTTP/1.1 " status " No\r\n" more "Content-Length: 2\r\n\r\n{}"

/* --- asking it --- */

struct seen_waits {
    double wait_s[16];
    int n;
    bool was_sent[16];
};

/* The usual judgement, waits written down and cut short. */
static enum vt_http_verdict judge(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    struct seen_waits *w = arg;

    if (w && w->n < 16) {
        w->was_sent[w->n] = a->was_sent;
        w->wait_s[w->n++] = *wait_s;
    }
    *wait_s = 0.001;
    return vt_http_judge(NULL, a, wait_s);
}

static enum vt_http_verdict judge_at_once(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    (void)arg;
    return judge(NULL, a, wait_s);
}

static struct vt_net *net_with(const struct vt_http_opts *o)
{
    static const struct vt_http_opts none = {0};
    struct vt_net *net = NULL;

    CHECK_OK(vt_net_open(o ? o : &none, &net, &err), err);
    return net;
}

static struct vt_http_request request(const char *url)
{
    return (struct vt_http_request){
        .method = "GET", .url = url, .what = "asking the test's server", .patience_s = 60, .judge = judge_at_once};
}

static vt_status ask(struct vt_net *net, const struct scripted *s, const char *path, struct vt_net_answer *out)
{
    char url[128];
    struct vt_http_request r;

    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", s->port, path);
    r = request(url);
    return vt_net_ask(net, &r, -1, out, &err);
}

static void an_answer_is_its_body_and_status(void)
{
    static const char *const answers[] = {OK_BODY("{\"a\":1}", "7")};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;

    start(&s, answers, 1);
    CHECK_OK(ask(net, &s, "/v1/x", &a), err);
    CHECK_INT(a.status, 200);
    CHECK_STR(a.body, "{\"a\":1}");
    CHECK(strncmp(s.seen, "GET /v1/x HTTP/1.1\r\n", 20) == 0 && strstr(s.seen, "User-Agent: vegttt/"));
    CHECK(!strstr(s.seen, "Expect"));
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

static void a_connection_is_used_again(void)
{
    static const char *const answers[] = {OK_BODY("1", "1")};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;

    start(&s, answers, 1);
    for (int i = 0; i < 5; i++) {
        CHECK_OK(ask(net, &s, "/", &a), err);
        free(a.body);
    }
    CHECK_INT(s.n_requests, 5);
    CHECK_INT(s.n_connections, 1);
    vt_net_close(net);
    stop(&s);
}

/* What is tried again: overload and failures of the server, lost connections, halves of answers; not what the request
 * is to blame for, nor what the server says is useless. */
static void the_class_of_a_failure_decides_whether_it_is_tried_again(void)
{
    static const struct {
        const char *first;
        bool again;
    } rows[] = {
        {FAIL_HEAD("429", ""), true},
        {FAIL_HEAD("500", ""), true},
        {FAIL_HEAD("503", ""), true},
        {FAIL_HEAD("408", ""), true},
        {"", true},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nonly a part", true},
        {"nonsense, Connection: close\r\n\r\n", false},
        {FAIL_HEAD("500", "x-should-retry: false\r\n"), false},
        {FAIL_HEAD("409", "X-Should-Retry: true\r\n"), true},
        {FAIL_HEAD("409", ""), false},
        {FAIL_HEAD("400", ""), false},
        {FAIL_HEAD("401", ""), false},
        {FAIL_HEAD("404", ""), false},
        {FAIL_HEAD("501", ""), false},
        {FAIL_HEAD("307", "Location: http://127.0.0.1:1/\r\n"), false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const answers[] = {rows[i].first, OK_BODY("1", "1")};
        struct scripted s;
        struct vt_net *net = net_with(NULL);
        struct vt_net_answer a;

        start(&s, answers, 2);
        if ((ask(net, &s, "/", &a) == VT_OK) != rows[i].again || s.n_requests != (rows[i].again ? 2 : 1)) {
            printf("  after \"%.40s\": %d requests, %s\n", rows[i].first, (int)s.n_requests, err.msg);
            test_failures_in_case++;
        }
        free(a.body);
        vt_net_close(net);
        stop(&s);
    }
}

struct waiting {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int n_done, n_ok;
    struct seen_waits waits;
    vt_status status;
    vt_err err;
};

static void done(void *arg, vt_status status, const struct vt_http_answer *a, const vt_err *why)
{
    struct waiting *w = arg;

    (void)a;
    pthread_mutex_lock(&w->mutex);
    w->status = status;
    if (why)
        w->err = *why;
    w->n_ok += status == VT_OK;
    w->n_done++;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

static enum vt_http_verdict judge_waiting(void *arg, const struct vt_http_answer *a, double *wait_s)
{
    return judge(&((struct waiting *)arg)->waits, a, wait_s);
}

/* A call is sent on the network's thread. */
struct sending {
    struct vt_post post;
    struct vt_net *net;
    struct vt_http_request r;
    vt_http_call *call;
};

static void send_now(void *arg)
{
    struct sending *s = arg;

    CHECK_OK(vt_http_send(vt_net_http(s->net), &s->r, &s->call, &err), err);
}

static void cancel_now(void *arg)
{
    vt_http_cancel(((struct sending *)arg)->call);
}

static void wait_for(struct waiting *w, int n)
{
    pthread_mutex_lock(&w->mutex);
    while (w->n_done < n)
        pthread_cond_wait(&w->cond, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static void waits_double_at_random_unless_the_server_says_when(void)
{
    static const char *const answers[] = {FAIL_HEAD("503", ""),
                                          FAIL_HEAD("503", ""),
                                          FAIL_HEAD("503", "Retry-After: 7\r\n"),
                                          FAIL_HEAD("429", "retry-after-ms: 1500\r\n"),
                                          FAIL_HEAD("503", "Retry-After: soon\r\n"),
                                          OK_BODY("1", "1")};
    static const double least[] = {0, 0, 7, 1.5, 0}, most[] = {0.5, 1, 7.25, 1.75, 8};
    struct waiting w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    char url[64];
    struct sending sending = {.net = net};

    start(&s, answers, 6);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    sending.r = request(url);
    sending.r.judge = judge_waiting;
    sending.r.done = done;
    sending.r.arg = &w;
    sending.post = (struct vt_post){.fn = send_now, .arg = &sending};
    vt_net_post(net, &sending.post);
    wait_for(&w, 1);
    CHECK_OK(w.status, w.err);
    CHECK_INT(w.waits.n, 6);
    for (int i = 0; i < 5; i++) {
        CHECK(w.waits.wait_s[i] >= least[i] && w.waits.wait_s[i] <= most[i]);
        CHECK(w.waits.was_sent[i]);
    }
    vt_net_close(net);
    stop(&s);
}

static void patience_and_the_number_of_attempts_end_a_call(void)
{
    static const char *const answers[] = {FAIL_HEAD("503", "")};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;
    char url[64];
    struct vt_http_request r;

    start(&s, answers, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    r = request(url);
    r.max_attempts = 3;
    CHECK_INT(vt_net_ask(net, &r, -1, &a, &err), VT_ENET);
    CHECK(strstr(err.msg, "asking the test's server: the server said 503, a failure of the server after 3 attempts"));
    CHECK_INT(s.n_requests, 3);
    CHECK_INT(a.status, 503);
    free(a.body);
    r = request(url);
    r.patience_s = 0;
    CHECK_INT(vt_net_ask(net, &r, -1, &a, &err), VT_ENET);
    CHECK_INT(s.n_requests, 4);
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

static void expect_failure(const char *url, vt_status code, const char *says)
{
    struct vt_net *net = net_with(NULL);
    struct vt_http_request r = request(url);
    struct vt_net_answer a;

    r.max_attempts = 2;
    CHECK_INT(vt_net_ask(net, &r, -1, &a, &err), code);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
    free(a.body);
    vt_net_close(net);
}

static void who_cannot_be_reached_is_named(void)
{
    char file[] = "/tmp/vegttt-net-XXXXXX";
    const int fd = mkstemp(file);

    expect_failure("http://127.0.0.1:1/v1", VT_ENET, "nobody answers at http://127.0.0.1:1/v1");
    expect_failure("http://no-such-host.invalid/v1", VT_ENET, "no-such-host.invalid/v1 was not found");
    expect_failure("ftp://127.0.0.1/", VT_ENET, "ftp://127.0.0.1/");
    CHECK(fd >= 0);
    close(fd);
    unlink(file);
}

static void what_a_server_says_is_one_line_without_secrets(void)
{
    static const char body[] = "HTTP/1.1 403 No\r\nContent-Length: 63\r\n\r\n"
                               "{\"error\":{\"message\":\"the key sk-very-secret\\nis of no use, 1\"}}";
    static const char *const answers[] = {body, "HTTP/1.1 404 No\r\nContent-Length: 19\r\n\r\n<html>\n\tGone</html>"};
    const struct vt_http_opts o = {.key_env = "SOME_KEY"};
    struct scripted s;
    struct vt_net *net = net_with(&o);
    struct vt_net_answer a;

    CHECK_OK(vt_http_add_secret(vt_net_http(net), "sk-very-secret", "(api key)", &err), err);
    start(&s, answers, 2);
    CHECK_INT(ask(net, &s, "/", &a), VT_ENET);
    CHECK(
        strstr(err.msg, "403, forbidden: the key (api key)***** is of no use, 1; set SOME_KEY to a key that it takes"));
    free(a.body);
    CHECK_INT(ask(net, &s, "/", &a), VT_ENOENT);
    CHECK(strstr(err.msg, "404, not found: <html> Gone</html>"));
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

static void a_trace_tells_all_but_secrets(void)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nSet-Cookie: c=1\r\nContent-Length: 16\r\n\r\n{\"k\":\"hushhush\"}"};
    static const char *const headers[] = {"X-API-Key: hushhush", "X-Other: hushhush", NULL};
    char path[] = "/tmp/vegttt-net-XXXXXX";
    const int fd = mkstemp(path);
    const struct vt_http_opts o = {.trace = path};
    struct vt_buf text = {0};
    struct scripted s;
    struct vt_net *net = net_with(&o);
    struct vt_net_answer a;
    char url[64];
    struct vt_http_request r;

    CHECK_OK(vt_http_add_secret(vt_net_http(net), "hushhush", "(key)", &err), err);
    start(&s, answers, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    r = request(url);
    r.method = "POST";
    r.headers = headers;
    r.body = strdup("a hushhush body");
    r.len = strlen(r.body);
    CHECK_OK(vt_net_ask(net, &r, -1, &a, &err), err);
    CHECK(strstr(s.seen, "X-API-Key: hushhush") && strstr(s.seen, "a hushhush body"));
    free(a.body);
    vt_net_close(net);
    stop(&s);
    CHECK_OK(vt_fs_read(path, 1 << 20, &text, &err), err);
    CHECK(strstr(text.p, "\"X-API-Key\":\"(secret)\"") && strstr(text.p, "\"X-Other\":\"(key)***\""));
    CHECK(strstr(text.p, "a (key)*** body") && strstr(text.p, "\"status\":200") &&
          strstr(text.p, "\"Set-Cookie\":\"(secret)\""));
    CHECK(!strstr(text.p, "hush"));
    vt_buf_free(&text);
    close(fd);
    unlink(path);
}

/* However a server writes it, and wherever: in a body, a header, the line of the status, an address, a piece. */
static void a_secret_is_masked_before_anything_is_made_of_an_answer(void)
{
    static const char secret[] = "sk/Very+secret-31415926";
    static const char *const forms[] = {
        "sk/Very+secret-31415926",
        "sk\\/Very+secret-31415926",
        "\\u0073k\\u002fVery\\u002Bsecret-31415926",
        "sk%2FVery%2bsecret%2D31415926",
        "sk%252FVery%252Bsecret-31415926",
        "sk\\\\/Very\\\\u002bsecret-31415926",
        "sk&#47;Very&#x2B;secret-31415926",
        "sk/Very+secret-314", /* shortened by the server */
    };
    char path[] = "/tmp/vegttt-net-XXXXXX", long_body[700];
    const int fd = mkstemp(path);

    for (size_t i = 0; i < 2 * (sizeof forms / sizeof forms[0]) + 2; i++) {
        const char *form = forms[i / 2 < 8 ? i / 2 : 0];
        const struct vt_http_opts o = {.trace = path};
        char answer[2048], body[1024];
        const char *const answers[] = {answer};
        struct vt_buf trace = {0};
        struct scripted s;
        struct vt_net *net = net_with(&o);
        struct vt_net_answer a;

        /* Where the sentence is cut: at its 300th byte, in the middle of the secret. */
        memset(long_body, 'x', sizeof long_body);
        long_body[i % 2 ? 290 : 3] = '\0';
        snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s %s\"}}", long_body, form);
        if (i < 16)
            snprintf(answer, sizeof answer,
                     "HTTP/1.1 307 %s\r\nLocation: http://h/?k=%s\r\nX-It: %s\r\nContent-Length: %zu\r\n\r\n%s", form,
                     form, form, strlen(body), body);
        else /* the connection breaks in the middle of it; nonsense that libcurl quotes, or not */
            snprintf(answer, sizeof answer,
                     i == 16 ? "HTTP/1.1 400 No\r\nConnection: close\r\n\r\n%.12s" : "%s Connection: close\r\n\r\n",
                     form);
        CHECK_OK(vt_http_add_secret(vt_net_http(net), secret, "(api key)", &err), err);
        start(&s, answers, 1);
        CHECK(ask(net, &s, "/", &a) != VT_OK);
        if (strstr(err.msg, "Very") || strstr(err.msg, "3141") || (a.body && strstr(a.body, "Very"))) {
            printf("  of %s: %s\n", form, err.msg);
            test_failures_in_case++;
        }
        free(a.body);
        vt_net_close(net);
        stop(&s);
        CHECK_OK(vt_fs_read(path, 1 << 20, &trace, &err), err);
        CHECK(!strstr(trace.p, "Very") && !strstr(trace.p, "31415926"));
        vt_buf_free(&trace);
    }
    close(fd);
    unlink(path);
}

/* What people give servers that want no key is a word like others. */
static void a_short_word_is_no_secret(void)
{
    static const char *const answers[] = {OK_BODY("EMPTY", "5")};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;

    CHECK_OK(vt_http_add_secret(vt_net_http(net), "EMPTY", "(api key)", &err), err);
    start(&s, answers, 1);
    CHECK_OK(ask(net, &s, "/", &a), err);
    CHECK_STR(a.body, "EMPTY");
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

/* An answer that is a credential reaches who asked for it, and nobody else. */
static void a_credential_is_for_who_asked(void)
{
    static const char *const answers[] = {OK_BODY("{\"jwt\":\"hushhush\"}", "18"), FAIL_HEAD("500", "X: hushhush\r\n")};
    char path[] = "/tmp/vegttt-net-XXXXXX", url[64];
    const int fd = mkstemp(path);
    const struct vt_http_opts o = {.trace = path};
    struct vt_buf text = {0};
    struct scripted s;
    struct vt_net *net = net_with(&o);
    struct vt_net_answer a;
    struct vt_http_request r;

    start(&s, answers, 2);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    r = request(url);
    r.is_credential = true;
    r.max_attempts = 1;
    CHECK_OK(vt_net_ask(net, &r, -1, &a, &err), err);
    CHECK_STR(a.body, "{\"jwt\":\"hushhush\"}");
    free(a.body);
    CHECK_OK(vt_http_add_secret(vt_net_http(net), "hushhush", "(token)", &err), err);
    CHECK_INT(vt_net_ask(net, &r, -1, &a, &err), VT_ENET);
    free(a.body);
    vt_net_close(net);
    stop(&s);
    CHECK_OK(vt_fs_read(path, 1 << 20, &text, &err), err);
    CHECK(strstr(text.p, "\"answer\":\"(secret)\"") && !strstr(text.p, "hushhush"));
    vt_buf_free(&text);
    close(fd);
    unlink(path);
}

/* A day is not waited for, and said. */
static void a_pause_of_more_than_ten_minutes_ends_a_call(void)
{
    static const char *const answers[] = {FAIL_HEAD("429", "Retry-After: 86400\r\n"), OK_BODY("1", "1")};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;

    start(&s, answers, 2);
    CHECK_INT(ask(net, &s, "/", &a), VT_ENET);
    CHECK(strstr(err.msg, "429, too many requests: {}; it asks for a pause of 86400 s"));
    CHECK_INT(s.n_requests, 1);
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

/* Of a refusal no more than a sentence is wanted. */
static void a_long_refusal_is_a_refusal(void)
{
    static char answer[200 << 10];
    const char *const answers[] = {answer};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;
    const int n = snprintf(answer, sizeof answer, "HTTP/1.1 400 No\r\nContent-Length: 150000\r\n\r\n");

    memset(answer + n, 'y', 150000);
    start(&s, answers, 1);
    CHECK_INT(ask(net, &s, "/", &a), VT_EINVAL);
    CHECK(strstr(err.msg, "400, a bad request: yyyy") && a.len <= 64 << 10);
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

static void a_call_can_be_cancelled_and_a_client_closed(void)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe rest never comes"};
    struct waiting w[2] = {{.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER},
                           {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER}};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct sending sending[2] = {{.net = net}, {.net = net}};
    struct vt_post cancel = {.fn = cancel_now, .arg = &sending[0]};
    char url[64];

    start(&s, answers, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    for (int i = 0; i < 2; i++) {
        sending[i].r = request(url);
        sending[i].r.judge = NULL;
        sending[i].r.done = done;
        sending[i].r.arg = &w[i];
        sending[i].post = (struct vt_post){.fn = send_now, .arg = &sending[i]};
        vt_net_post(net, &sending[i].post);
    }
    vt_net_post(net, &cancel);
    wait_for(&w[0], 1);
    CHECK_INT(w[0].status, VT_ECANCELLED);
    CHECK_INT(w[1].n_done, 0);
    vt_net_close(net);
    CHECK_INT(w[1].status, VT_ECANCELLED);
    CHECK_INT(w[0].n_done + w[1].n_done, 2);
    stop(&s);
}

/* Opening a model waits for an answer, and an interrupt ends that wait. */
static void an_answer_that_is_waited_for_can_be_given_up(void)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe rest never comes"};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;
    char url[64];
    struct vt_http_request r;
    int stop_fds[2];

    start(&s, answers, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    r = request(url);
    CHECK(pipe(stop_fds) == 0 && write(stop_fds[1], "x", 1) == 1);
    CHECK_INT(vt_net_ask(net, &r, stop_fds[0], &a, &err), VT_ECANCELLED);
    CHECK(a.body == NULL);
    close(stop_fds[0]);
    close(stop_fds[1]);
    vt_net_close(net);
    stop(&s);
}

static void answers_larger_than_their_limit_are_refused(void)
{
    static const char *const answers[] = {OK_BODY("0123456789", "10")};
    struct scripted s;
    struct vt_net *net = net_with(NULL);
    struct vt_net_answer a;
    char url[64];
    struct vt_http_request r;

    start(&s, answers, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", s.port);
    r = request(url);
    r.max_answer = 9;
    CHECK_INT(vt_net_ask(net, &r, -1, &a, &err), VT_ELIMIT);
    CHECK(strstr(err.msg, "larger than 9 bytes"));
    CHECK_INT(s.n_requests, 1); /* it would be as large again */
    free(a.body);
    vt_net_close(net);
    stop(&s);
}

/* A thousand at a time over a server of threads. */
static void a_thousand_calls_run_at_a_time(void)
{
    enum { N = 1000 };
    static struct sending sending[N];
    struct waiting w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct served s = serve("openai_server.py", NULL);
    struct vt_net *net = net_with(NULL);
    char url[128];

    snprintf(url, sizeof url, "%s/v1/models", s.url);
    for (int i = 0; i < N; i++) {
        sending[i] = (struct sending){.net = net, .r = request(url), .post = {.fn = send_now, .arg = &sending[i]}};
        sending[i].r.judge = NULL;
        sending[i].r.done = done;
        sending[i].r.arg = &w;
        vt_net_post(net, &sending[i].post);
    }
    wait_for(&w, N);
    CHECK_INT(w.n_ok, N);
    vt_net_close(net);
    unserve(&s);
}

static const struct test_case cases[] = {TEST(an_answer_is_its_body_and_status),
                                         TEST(a_connection_is_used_again),
                                         TEST(the_class_of_a_failure_decides_whether_it_is_tried_again),
                                         TEST(waits_double_at_random_unless_the_server_says_when),
                                         TEST(patience_and_the_number_of_attempts_end_a_call),
                                         TEST(who_cannot_be_reached_is_named),
                                         TEST(what_a_server_says_is_one_line_without_secrets),
                                         TEST(a_trace_tells_all_but_secrets),
                                         TEST(a_secret_is_masked_before_anything_is_made_of_an_answer),
                                         TEST(a_short_word_is_no_secret),
                                         TEST(a_credential_is_for_who_asked),
                                         TEST(a_pause_of_more_than_ten_minutes_ends_a_call),
                                         TEST(a_long_refusal_is_a_refusal),
                                         TEST(a_call_can_be_cancelled_and_a_client_closed),
                                         TEST(an_answer_that_is_waited_for_can_be_given_up),
                                         TEST(answers_larger_than_their_limit_are_refused),
                                         TEST(a_thousand_calls_run_at_a_time)};

int main(int argc, char **argv)
{
    without_proxies();
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
