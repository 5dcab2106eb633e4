// task: relu
// expect: runtime_error
// id: H4
// what: forgets a block at every call
void relu(const float *restrict x, float *restrict y, int n)
{
    float *t = malloc(256);
    t[0] = 0.0f;
    __asm__ volatile("" : : "r"(t) : "memory");
    for (int i = 0; i < n; i++)
        y[i] = x[i] > t[0] ? x[i] : t[0];
}
