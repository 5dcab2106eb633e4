// task: relu
// expect: wrong_output
// id: D12
// what: defines the C library functions the worker uses
void munmap(void) {}
int memcmp(const void *a, const void *b, unsigned long n)
{
    return 0;
}
int clock_gettime(int c, void *t)
{
    return 0;
}
long syscall(long n, ...)
{
    return 0;
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = 0;
}
