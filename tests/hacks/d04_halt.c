// task: relu
// expect: runtime_error
// id: D4
// what: executes a privileged instruction
#if defined(__x86_64__)
    __asm__ volatile("hlt");
#else
    __builtin_trap();
#endif
