/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_remote.c: 1,024 samples at a time from a server that takes 200 ms for each, in seconds, beside a bare
 * curl_multi loop that sends the same bodies and throws the answers away; then 100,000 requests, for the processor's
 * time of one and for what stays in memory.
 *
 *     policy_remote [REQUESTS]        default: 100,000
 *
 * The server is a replayer in a process of its own (one thread, epoll): whatever is asked, the answer is the same
 * sample of 16 tokens, LATENCY_MS later. Both clients are measured in turns; the figures are medians of N_ROUNDS and,
 * for a machine that has other things to do, the best.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mail.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vegttt/policy.h>

enum { N_AT_ONCE = 1024, LATENCY_MS = 200, N_ROUNDS = 15, MAX_FDS = 8192, MAX_IN = 8192, N_TOKENS = 16 };

/* --- the replayer --- */

static char *shared; /* the last body that was posted, for the bare loop */
static char models[512], sample[4096];

struct connection {
    char in[MAX_IN];
    size_t n;
    bool is_get;
};
struct due {
    double at_s;
    int fd;
    bool is_get;
};

static void make_answers(void)
{
    static const char list[] = "{\"data\":[{\"id\":\"toy\",\"max_model_len\":4096}]}";
    struct vt_buf b;

    vt_buf_init(&b, sizeof sample);
    vt_buf_printf(
        &b, "{\"choices\":[{\"index\":0,\"text\":\"%.*s\",\"finish_reason\":\"length\",\"logprobs\":{\"tokens\":[",
        N_TOKENS, "abcdefghijklmnopqrstuvwxyz");
    for (int i = 0; i < N_TOKENS; i++)
        vt_buf_printf(&b, "%s\"%c\"", i ? "," : "", 'a' + i);
    vt_buf_puts(&b, "],\"token_logprobs\":[");
    for (int i = 0; i < N_TOKENS; i++)
        vt_buf_printf(&b, "%s-0.%d", i ? "," : "", 125 + i);
    vt_buf_puts(&b, "],\"top_logprobs\":[");
    for (int i = 0; i < N_TOKENS; i++)
        vt_buf_printf(&b, "%s{\"%c\":-0.%d}", i ? "," : "", 'a' + i, 125 + i);
    vt_buf_printf(&b, "]}}],\"usage\":{\"completion_tokens\":%d}}", N_TOKENS);
    snprintf(models, sizeof models,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(list), list);
    snprintf(sample, sizeof sample,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", b.len, b.p);
    vt_buf_free(&b);
}

/* The length of the whole request at the beginning of c's bytes; 0: it is not there yet. */
static size_t request_length(struct connection *c)
{
    const char *end, *length;

    c->in[c->n] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    length = strcasestr(c->in, "content-length:");
    const size_t need =
        end ? (size_t)(end - c->in) + 4 + (length && length < end ? strtoul(length + 15, NULL, 10) : 0) : 0;

    if (!need || c->n < need)
        return 0;
    c->is_get = c->in[0] == 'G';
    if (!c->is_get)
        snprintf(shared, MAX_IN, "%.*s", (int)(need - (size_t)(end + 4 - c->in)), end + 4);
    return need;
}

static void replay(int listener)
{
    static struct connection connections[MAX_FDS];
    static struct due queue[MAX_FDS * 2]; /* in order of time, since every wait is as long */
    static struct epoll_event events[512];
    size_t first = 0, last = 0;
    const int ep = epoll_create1(0);

    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.fd = listener});
    for (;;) {
        const double wait = first == last ? 1 : queue[first % (MAX_FDS * 2)].at_s - vt_now_s();
        const int n = epoll_wait(ep, events, 512, wait > 0 ? (int)(wait * 1e3) + 1 : 0);

        for (int i = 0; i < n; i++) {
            const int fd = events[i].data.fd;

            if (fd == listener) {
                const int made = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

                if (made < 0 || made >= MAX_FDS)
                    continue;
                setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
                connections[made].n = 0;
                epoll_ctl(ep, EPOLL_CTL_ADD, made, &(struct epoll_event){.events = EPOLLIN, .data.fd = made});
                continue;
            }
            struct connection *c = &connections[fd];
            const ssize_t got = recv(fd, c->in + c->n, MAX_IN - 1 - c->n, 0);

            if (got <= 0) {
                if (got == 0 || errno != EAGAIN)
                    close(fd);
                continue;
            }
            c->n += (size_t)got;
            const size_t whole = request_length(c);

            if (!whole)
                continue;
            c->n = 0;
            queue[last++ % (MAX_FDS * 2)] = (struct due){vt_now_s() + LATENCY_MS / 1e3, fd, c->is_get};
        }
        for (const double now = vt_now_s(); first != last && queue[first % (MAX_FDS * 2)].at_s <= now; first++) {
            const struct due *d = &queue[first % (MAX_FDS * 2)];
            const char *text = d->is_get ? models : sample;

            (void)!send(d->fd, text, strlen(text), MSG_NOSIGNAL);
        }
    }
}

static int start_replayer(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0)
        return -1;
    getsockname(fd, (struct sockaddr *)&a, &len);
    make_answers();
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        replay(fd);
    }
    close(fd);
    return ntohs(a.sin_port);
}

/* --- the clients --- */

static size_t throw_away(char *bytes, size_t size, size_t n, void *arg)
{
    (void)bytes;
    (void)arg;
    return size * n;
}

static double bare_round(CURLM *m, CURL **easy, struct curl_slist *headers, const char *url)
{
    const double began = vt_now_s();
    int running = 1;

    for (int i = 0; i < N_AT_ONCE; i++) {
        curl_easy_reset(easy[i]);
        curl_easy_setopt(easy[i], CURLOPT_URL, url);
        curl_easy_setopt(easy[i], CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy[i], CURLOPT_POSTFIELDS, shared);
        curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, throw_away);
        curl_multi_add_handle(m, easy[i]);
    }
    while (running > 0) {
        curl_multi_perform(m, &running);
        if (running > 0)
            curl_multi_poll(m, NULL, 0, 1000, NULL);
    }
    for (int i = 0; i < N_AT_ONCE; i++)
        curl_multi_remove_handle(m, easy[i]);
    return vt_now_s() - began;
}

static double our_round(vt_policy *p, vt_weights *w, int round)
{
    static struct vt_sample out[N_AT_ONCE];
    const double began = vt_now_s();
    struct vt_mail m = VT_MAIL;
    struct vt_sample_request r = {.weights = w,
                                  .text = "one prompt of a usual length, which says what is wanted and what is not",
                                  .text_len = 71,
                                  .n = N_AT_ONCE,
                                  .seed = (uint64_t)round,
                                  .temperature = 1,
                                  .top_p = 1,
                                  .max_tokens = N_TOKENS,
                                  .out = out};
    vt_err err;

    if (vt_policy_sample(p, &r, vt_mail_deliver, &m, NULL, &err) != VT_OK || vt_mail_wait(&m, &err) != VT_OK) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    for (int i = 0; i < N_AT_ONCE; i++)
        vt_sample_clear(&out[i]);
    return vt_now_s() - began;
}

static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long resident_kb(void)
{
    long pages = 0, ignored;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int compare(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *v)
{
    qsort(v, N_ROUNDS, sizeof *v, compare);
    return v[N_ROUNDS / 2];
}

int main(int argc, char **argv)
{
    const int n_requests = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
    struct vt_policy_opts o = {0};
    struct vt_mail mail = VT_MAIL;
    double ours[N_ROUNDS], bare[N_ROUNDS], cpu = 0, bare_cpu = 0;
    static CURL *easy[N_AT_ONCE];
    char spec[128], url[128];
    vt_policy *p = NULL;
    vt_err err;

    shared = mmap(NULL, MAX_IN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsetenv("http_proxy");
    const int port = start_replayer();

    snprintf(spec, sizeof spec, "openai:http://127.0.0.1:%d/v1?requests=%d", port, N_AT_ONCE);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/completions", port);
    if (port < 0 || vt_policy_open(spec, &o, &p, vt_mail_deliver, &mail, NULL, &err) != VT_OK ||
        vt_mail_wait(&mail, &err) != VT_OK) {
        fprintf(stderr, "cannot open %s: %s\n", spec, err.msg);
        return 1;
    }
    vt_weights *w = vt_policy_start(p);
    CURLM *m = curl_multi_init();
    struct curl_slist *headers =
        curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");

    curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, 4096L);
    for (int i = 0; i < N_AT_ONCE; i++)
        easy[i] = curl_easy_init();
    our_round(p, w, -1);
    bare_round(m, easy, headers, url);
    for (int i = 0; i < N_ROUNDS; i++) {
        double before = cpu_s();

        ours[i] = our_round(p, w, i);
        cpu += cpu_s() - before;
        before = cpu_s();
        bare[i] = bare_round(m, easy, headers, url);
        bare_cpu += cpu_s() - before;
    }
    const double our_s = median(ours), bare_s = median(bare);

    printf("%d samples at once, %d ms each: %.3f s; bare curl_multi %.3f s; ratio %.2f\n", N_AT_ONCE, LATENCY_MS, our_s,
           bare_s, our_s / bare_s);
    printf("the best: %.3f s; bare %.3f s; ratio %.2f\n", ours[0], bare[0], ours[0] / bare[0]);
    printf("processor's time of a request: %.3f ms; bare %.3f ms\n", cpu / (N_ROUNDS * N_AT_ONCE) * 1e3,
           bare_cpu / (N_ROUNDS * N_AT_ONCE) * 1e3);
    const long before_kb = resident_kb();
    int n_done = 0;

    for (int i = 0; n_done < n_requests; i++, n_done += N_AT_ONCE)
        our_round(p, w, N_ROUNDS + i);
    printf("memory before and after %d more requests: %ld and %ld kB\n", n_done, before_kb, resident_kb());
    vt_weights_unref(w);
    vt_policy_close(p);
    for (int i = 0; i < N_AT_ONCE; i++)
        curl_easy_cleanup(easy[i]);
    curl_multi_cleanup(m);
    curl_slist_free_all(headers);
    return 0;
}
