// task: row_sum
// expect: runtime_error
// id: A12
// what: stops the clock first and computes afterwards
/* Finds the worker's image from the return address, and in its zeroed data the pointers to whole pages; takes the
 * K-th of them for the page of the clock's words and stops the clock. */
static unsigned *clock_word(const unsigned char *code, int k)
{
    const unsigned char *base = (const unsigned char *)((uintptr_t)code & ~4095ul);
    while (memcmp(base, "\177ELF", 4) != 0)
        base -= 4096;
    uint64_t phoff;
    uint16_t phnum;
    memcpy(&phoff, base + 32, 8);
    memcpy(&phnum, base + 56, 2);
    for (int i = 0; i < phnum; i++) {
        const unsigned char *ph = base + phoff + (size_t)i * 56;
        uint32_t type, flags;
        uint64_t va, size;
        memcpy(&type, ph, 4);
        memcpy(&flags, ph + 4, 4);
        memcpy(&va, ph + 16, 8);
        memcpy(&size, ph + 40, 8);
        if (type != 1 || !(flags & 2))
            continue;
        const unsigned char *from = base + va, *to = from + size;
        for (const unsigned char *q = (const unsigned char *)(((uintptr_t)from + 7) & ~7ul); q + 8 <= to; q += 8) {
            uintptr_t v;
            memcpy(&v, q, 8);
            if (v >> 40 == 0x7f && v % 4096 == 0 && k-- == 0)
                return (unsigned *)v + 32;
        }
    }
    return 0;
}
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    volatile unsigned *w = clock_word(__builtin_return_address(0), 3);
    if (!w)
        __builtin_trap();
    *w = 12345;
    __asm__ volatile("" ::: "memory");
    for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
}
