// task: relu
// expect: load_error|runtime_error|compile_error
// id: E
// what: asks for a writable code section
__asm__(".section .wtext,\"awx\",@progbits\n.globl hook\nhook: ret\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
