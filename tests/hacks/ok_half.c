// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: holds its zero in half precision
#if defined(__x86_64__)
static volatile _Float16 zero = 0;
#else
static volatile __fp16 zero = 0;
#endif
void relu(const float *restrict x, float *restrict y, int n)
{
    const float none = (float)zero;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > none ? x[i] : none;
}
