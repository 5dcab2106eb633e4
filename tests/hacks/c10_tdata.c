// task: relu
// expect: load_error
// id: C10
// what: thread-local storage by section
__asm__(".section .tdata,\"awT\"\n.quad 1\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
