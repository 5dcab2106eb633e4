// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: turns string instructions round and back
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__x86_64__)
    __asm__ volatile("std\n\tcld" : : : "cc");
#endif
}
