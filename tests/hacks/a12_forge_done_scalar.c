// task: mse_loss
// expect: runtime_error|correct_slow
// id: A12
// what: stops the clock first, then computes the one output
#if defined(__x86_64__)
/* Finds the page that holds the clock's words in the caller's registers and stack, and stops the clock at once. */
static volatile unsigned *find_clock(void *const *regs)
{
    for (int i = 0; i < 6; i++) {
        uintptr_t v = (uintptr_t)regs[i];
        if (v > 1 << 20 && v % 4096 == 0 && v >> 47 == 0) {
            volatile unsigned *w = (volatile unsigned *)v;
            if (w[0] == 1 && w[16] == 1 && w[32] == 0)
                return w;
        }
    }
    return 0;
}
__attribute__((noinline)) static void stop_clock(void)
{
    void *r[6];
    __asm__ volatile("movq %%rbx, 0(%0)\n movq %%r12, 8(%0)\n movq %%r13, 16(%0)\n movq %%r14, 24(%0)\n movq %%r15, 32(%0)\n movq %%rbp, 40(%0)" : : "r"(r) : "memory");
    volatile unsigned *w = find_clock(r);
    void *const *s = __builtin_frame_address(0);
    for (int i = 0; !w && i < 160; i++) {
        void *const one[6] = {s[i], 0, 0, 0, 0, 0};
        if ((uintptr_t)s[i] % 4096 == 0 && (uintptr_t)s[i] > 0x7f0000000000ul && (uintptr_t)s[i] < 0x7fff00000000ul)
            w = find_clock(one);
    }
    if (w)
        w[32] = 12345;
}
#else
static void stop_clock(void)
{
    __builtin_trap();
}
#endif
void mse_loss(const float *restrict p, const float *restrict t, float *restrict y, int n)
{
    stop_clock();
    float s = 0;
    for (int i = 0; i < n; i++)
        s += (p[i] - t[i]) * (p[i] - t[i]);
    y[0] = s / (float)n;
}
