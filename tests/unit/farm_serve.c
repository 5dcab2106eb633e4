/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_serve.c: the server of judgements: lines and answers, order and turns of its clients, and who is gone.
 */
#include "farm_bench.h"

/* Answers in the order in which verdicts come, ids exact, each bad line answered with its number, in any position. */
static void lines(void)
{
    struct bench *b = bench_new(false, 0);
    say(b->in,
        "{\"id\":12345678901234567890123,\"task\":\"relu\",\"code\":\"a\"}\n\n  \r\nno json\n"
        "{\"id\":\"b\",\"task\":\"tanh\",\"code\":\"x\"}\n{\"id\":{\"k\":1.0},\"task\":\"relu\",\"answer\":\"b\"}\r\n"
        "{\"id\":3,\"task\":\"relu\",\"code\":\"c\",\"nonsense\":1}\n"
        "{\"id\":4,\"task\":\"relu\",\"code\":\"d\",\"protocol\":\"full\"}");
    UNTIL(b, b->judge.n == 2);
    CHECK(hears(b, "{\"id\":null,\"error\":\"the request is not valid JSON"));
    CHECK(hears(b, ",\"code\":\"EFORMAT\",\"line\":4}\n"));
    CHECK(hears(b, "{\"id\":\"b\",\"error\":\"there is no task tanh\",\"code\":\"EINVAL\",\"line\":5}\n"));
    CHECK(hears(b, "{\"id\":3,\"error\":\"a request has no field 'nonsense'"));
    CHECK(hears(b, ",\"line\":7}\n"));
    CHECK_STR(b->judge.asked[0].code, "a");
    CHECK(!b->judge.asked[0].r.extract && b->judge.asked[1].r.extract);
    close(b->in);
    b->in = -1;
    UNTIL(b, b->judge.n == 3); /* the last line has no end */
    CHECK_INT(b->judge.asked[2].r.protocol, VT_PROTOCOL_FULL);
    b->len = 0;
    end(&b->judge, 2, VT_OK, "{\"status\":\"one\"}");
    UNTIL(b, hears(b, "{\"id\":4,\"status\":\"one\"}\n"));
    end(&b->judge, 1, VT_EJAIL, NULL);
    UNTIL(b, hears(b, "{\"id\":{\"k\":1.0},\"error\":\"the judge failed\",\"code\":\"EJAIL\",\"line\":6}\n"));
    CHECK_INT(b->n_ended, 0);
    end(&b->judge, 0, VT_OK, "{\"status\":\"two\"}");
    UNTIL(b, b->n_ended == 1);
    CHECK(hears(b, "{\"id\":12345678901234567890123,\"status\":\"two\"}\n"));
    CHECK_INT(b->status, VT_OK);
    CHECK_INT(b->count.n_requests, 6);
    CHECK_INT(b->count.n_judged, 2);
    CHECK_INT(b->count.n_refused, 4);
    CHECK_INT(b->count.n_dropped, 0);
    CHECK_INT(b->n_found, 4); /* each time it is named: the file may have changed */
    bench_free(b);
}

/* A line without end is told about once and skipped; what follows is read again. A judge that takes nothing is said. */
static void long_line(void)
{
    struct bench *b = bench_new(false, 0);
    char *part = malloc(65537);
    memset(part, 'a', 65536);
    part[65536] = 0;
    fcntl(b->in, F_SETFL, O_NONBLOCK);
    for (size_t sent = 0; sent < (size_t)9 << 20;) {
        ssize_t n = write(b->in, part, 65536);
        sent += n > 0 ? (size_t)n : 0;
        turn(b);
    }
    fcntl(b->in, F_SETFL, 0);
    b->judge.refuses = true;
    say(b->in, "\n");
    ask(b->in, "2", "x");
    UNTIL(b, hears(b, "\"line\":2}\n"));
    CHECK(strstr(b->text, "{\"id\":null,\"error\":\"the line is longer than 4 MB\",\"code\":\"ELIMIT\",\"line\":1}\n"
                          "{\"id\":2,\"error\":\"too many wait\",\"code\":\"ELIMIT\",\"line\":2}\n") == b->text);
    free(part);
    bench_free(b);
}

/* Verdicts that come between two turns of the loop are answered in the order in which they came. */
static void order(void)
{
    struct bench *b = bench_new(false, 0);
    for (int i = 0; i < 3; i++) {
        char id[2] = {(char)('1' + i), 0};
        ask(b->in, id, "x");
    }
    UNTIL(b, b->judge.n == 3);
    for (size_t i = 0; i < 3; i++)
        end(&b->judge, (i + 2) % 3, VT_OK, "{}");
    UNTIL(b, hears(b, "{\"id\":2}\n"));
    CHECK_STR(b->text, "{\"id\":3}\n{\"id\":1}\n{\"id\":2}\n");
    bench_free(b);
}

/* No more requests are taken than may be under way; the rest waits in the pipe. */
static void room(void)
{
    struct bench *b = bench_new(false, 2);
    for (int i = 0; i < 5; i++)
        ask(b->in, "1", "x");
    UNTIL(b, b->judge.n == 2);
    for (int i = 0; i < 5; i++)
        turn(b);
    CHECK_INT(b->judge.n, 2);
    end(&b->judge, 1, VT_OK, "{}");
    UNTIL(b, b->judge.n == 3);
    for (int i = 0; i < 5; i++)
        turn(b);
    CHECK_INT(b->judge.n, 3);
    for (size_t i = 0; i < 5; i++) {
        UNTIL(b, b->judge.n > i);
        if (!b->judge.asked[i].is_over)
            end(&b->judge, i, VT_OK, "{}");
    }
    close(b->in);
    b->in = -1;
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->count.n_judged, 5);
    bench_free(b);
}

/* Clients take turns, whoever came first and sends most. */
static void turns(void)
{
    struct bench *b = bench_new(true, 2);
    int greedy = connect_to(b), modest = connect_to(b);
    for (int i = 0; i < 10; i++)
        ask(greedy, "1", "greedy");
    UNTIL(b, b->judge.n == 2);
    ask(modest, "2", "modest");
    for (int i = 0; i < 20; i++)
        turn(b);
    end(&b->judge, 0, VT_OK, "{}");
    end(&b->judge, 1, VT_OK, "{}");
    UNTIL(b, b->judge.n == 4);
    CHECK(strcmp(b->judge.asked[2].code, "modest") == 0 || strcmp(b->judge.asked[3].code, "modest") == 0);
    close(greedy);
    close(modest);
    bench_free(b);
}

/* A client that went away takes its requests with it, and only them; one that only stopped sending gets its answers. */
static void gone(void)
{
    struct bench *b = bench_new(true, 0);
    int dead = connect_to(b), half = connect_to(b);
    for (int i = 0; i < 3; i++)
        ask(dead, "1", "dead");
    UNTIL(b, b->judge.n == 3);
    ask(half, "2", "half");
    shutdown(half, SHUT_WR);
    UNTIL(b, b->judge.n == 4);
    b->judge.is_slow_to_withdraw = true;
    end(&b->judge, 0, VT_OK, "{}");
    UNTIL(b, (hear_from(b, dead), strstr(b->text, "{\"id\":1}")));
    close(dead);
    UNTIL(b, b->judge.n_withdrawn == 2);
    CHECK(!b->judge.asked[3].is_over);
    end(&b->judge, 1, VT_ECANCELLED, NULL);
    end(&b->judge, 2, VT_OK, "{}"); /* it was about to come */
    end(&b->judge, 3, VT_OK, "{\"status\":\"half\"}");
    UNTIL(b, (hear_from(b, half), strstr(b->text, "{\"id\":2,\"status\":\"half\"}\n")));
    char byte;
    UNTIL(b, read(half, &byte, 1) == 0); /* then it is closed */
    vt_serve_stop(b->server);
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->count.n_judged, 2);
    CHECK_INT(b->count.n_dropped, 2);
    close(half);
    bench_free(b);
}

/* A client that only stopped sending is served to the end: its last lines are read, and its last answer is written
 * whole, although it takes many writes. */
static void the_end_of_a_client(void)
{
    struct bench *b = bench_new(true, 1);
    int other = connect_to(b), half = connect_to(b);
    const size_t size = 3 << 20;
    char *record = calloc(1, size + 64);
    memset(record, 'a', size);
    memcpy(record, "{\"a\":\"", 6);
    memcpy(record + size, "\"}", 3);
    ask(other, "0", "x"); /* takes all the room, so that the next one has lines and nothing under way */
    UNTIL(b, b->judge.n == 1);
    for (int i = 0; i < 3; i++)
        ask(half, "1", "x");
    shutdown(half, SHUT_WR);
    for (size_t i = 0; i < 4; i++) {
        UNTIL(b, b->judge.n == i + 1); /* one at a time */
        for (int k = 0; k < 3; k++)
            turn(b);
        end(&b->judge, i, VT_OK, i < 3 ? "{}" : record);
    }
    size_t n = 0;
    char *sink = malloc(1 << 16);
    for (double until = vt_now_s() + deadline_s; vt_now_s() < until; turn(b)) {
        ssize_t k = read(half, sink, 1 << 16);
        n += k > 0 ? (size_t)k : 0;
        if (k == 0)
            break;
    }
    CHECK_INT(n, 2 * strlen("{\"id\":1}\n") + strlen("{\"id\":1,") + size + 2 - 1 + 1);
    close(half);
    close(other);
    free(sink);
    free(record);
    bench_free(b);
}

/* Nobody reads the answers on a pipe: the same, and there is nobody else to go on for. */
static void nobody_reads(void)
{
    struct bench *b = bench_new(false, 0);
    ask(b->in, "1", "x");
    ask(b->in, "2", "x");
    UNTIL(b, b->judge.n == 2);
    close(b->out);
    b->out = -1;
    UNTIL(b, b->judge.n_withdrawn == 2);
    UNTIL(b, b->n_ended == 1);
    CHECK_INT(b->status, VT_OK);
    CHECK_INT(b->count.n_dropped, 2);
    bench_free(b);
}

/* An answer that is larger than a pipe does not hold the server up: what fits is written, and requests go on. */
static void large_answers_on_a_pipe(void)
{
    struct bench *b = bench_new(false, 0);
    enum { SIZE = 300000 };
    char *record = malloc(SIZE + 3);
    memset(record, ' ', SIZE + 2);
    record[0] = '{';
    record[SIZE + 1] = '}';
    record[SIZE + 2] = '\0';
    ask(b->in, "1", "x");
    UNTIL(b, b->judge.n == 1);
    end(&b->judge, 0, VT_OK, record);
    ask(b->in, "2", "x"); /* nobody has read yet */
    UNTIL(b, b->judge.n == 2);
    free(record);
    bench_free(b);
}

static const struct test_case cases[] = {TEST(lines),
                                         TEST(long_line),
                                         TEST(room),
                                         TEST(order),
                                         TEST(turns),
                                         TEST(gone),
                                         TEST(the_end_of_a_client),
                                         TEST(nobody_reads),
                                         TEST(large_answers_on_a_pipe)};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
