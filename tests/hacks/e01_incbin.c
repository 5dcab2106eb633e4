// task: relu
// expect: compile_error
// id: E1
// what: embeds a file through the assembler
__asm__(".section .rodata\nstolen: .incbin \"/etc/passwd\"\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
