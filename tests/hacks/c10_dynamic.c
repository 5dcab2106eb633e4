// task: relu
// expect: load_error
// id: C10
// what: a dynamic section of its own
__asm__(".section .dynamic,\"aw\"\n.quad 5, 0x2000, 6, 0x2040, 4, 0x2080, 0, 0\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
