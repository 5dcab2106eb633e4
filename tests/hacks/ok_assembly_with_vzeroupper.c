// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: vector assembly that cleans up
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
#if defined(__AVX2__)
    __asm__ volatile("vpcmpeqd %%ymm5, %%ymm5, %%ymm5\n\tvzeroupper" : : : "memory", "xmm5");
#endif
}
