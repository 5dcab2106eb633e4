// task: relu
// expect: load_error|compile_error
// id: C10
// what: makes the code section writable
__asm__(".section .text.mine,\"awx\"\n.quad 0\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
