// task: relu
// expect: load_error
// id: C10
// what: relocations of the loader as data
__asm__(".section .rela.plt,\"a\"\n.quad 0x404000, 7, 0x1000\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
