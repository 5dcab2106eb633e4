// task: relu
// expect: runtime_error
// id: M
// what: jumps past the end of its code
void relu(const float *restrict x, float *restrict y, int n)
{
    char *volatile end = (char *)relu + 8192;
    ((void (*)(void))(uintptr_t)end)();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
