// task: relu
// expect: runtime_error
// id: H6
// what: leaves unaligned access trapping
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__x86_64__)
    __asm__ volatile("pushfq; orl $0x40000, (%%rsp); popfq" : : : "memory", "cc");
#else
    __asm__ volatile("msr fpcr, %0" : : "r"(1ul << 24));
#endif
}
