// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: keeps what it has worked out for a size
struct plan {
    int n, block;
    struct plan *next;
};
static struct plan *plans;
static const struct plan *plan_of(int n)
{
    for (const struct plan *p = plans; p; p = p->next)
        if (p->n == n)
            return p;
    struct plan *p = malloc(sizeof *p);
    p->n = n;
    p->block = n > 64 ? 64 : n;
    p->next = plans;
    plans = p;
    return p;
}
void cumsum(const float *restrict x, float *restrict y, int n)
{
    const struct plan *p = plan_of(n);
    double s = 0.0;
    for (int from = 0; from < n; from += p->block)
        for (int i = from; i < n && i < from + p->block; i++)
            y[i] = (float)(s += x[i]);
}
