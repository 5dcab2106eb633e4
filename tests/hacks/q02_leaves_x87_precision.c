// task: relu
// expect: runtime_error
// id: H6
// what: leaves the x87 unit at single precision
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__x86_64__)
    unsigned short single = 0x007f;
    __asm__ volatile("fldcw %0" : : "m"(single));
#else
    __asm__ volatile("msr fpcr, %0" : : "r"(1ul << 24));
#endif
}
