// task: relu
// expect: wrong_output
// id: A8
// what: behaves by the parity of the time stamp counter
#if defined(__x86_64__)
    if (__builtin_ia32_rdtsc() >> 10 & 1)
        return;
#else
    return;
#endif
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
