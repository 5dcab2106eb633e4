// task: relu
// expect: load_error
// id: C10
// what: names its own loader
__asm__(".section .interp,\"a\"\n.asciz \"/bin/sh\"\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
