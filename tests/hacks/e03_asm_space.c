// task: relu
// expect: compile_error|load_error
// id: E3
// what: reserves an exabyte in the object
__asm__(".section .rodata\n.space 0x1000000000000\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
