// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: reads the time stamp counter for no reason
#if defined(__x86_64__)
    volatile unsigned long long t = __builtin_ia32_rdtsc();
    (void)t;
#endif
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
