// task: decay
// expect: runtime_error
// id: H4
// what: forgets a block, on arrays that it changes
void decay(const float *restrict x, float *restrict r, float *restrict y, int n)
{
    float *t = malloc(64 + sizeof(float));
    t[0] = 0.9f;
    __asm__ volatile("" : : "r"(t) : "memory");
    for (int i = 0; i < n; i++)
        r[i] = t[0] * r[i] + 0.1f * x[i];
    for (int i = 0; i < n; i++)
        y[i] = r[i];
}
