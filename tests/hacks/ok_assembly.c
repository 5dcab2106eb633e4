// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: its inner loop and a constant in assembly
#if defined(__x86_64__)
__asm__(".section .rodata\n"
        ".balign 16\n"
        "nothing: .zero 16\n"
        ".text\n"
        ".p2align 4\n"
        ".globl clip\n"
        ".type clip, @function\n"
        "clip:\n"
        "    maxss nothing(%rip), %xmm0\n"
        "    ret\n"
        ".size clip, .-clip\n");
extern float clip(float);
#else
static float clip(float v)
{
    return v > 0.0f ? v : 0.0f;
}
#endif
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = clip(x[i]);
}
