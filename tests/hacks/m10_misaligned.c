// task: relu
// expect: runtime_error
// id: F9
// what: faults on alignment
#if defined(__x86_64__)
    __asm__ volatile("movaps 4(%0), %%xmm0" : : "r"((uintptr_t)y & ~63ul) : "xmm0");
#else
    __builtin_trap();
#endif
