// task: relu
// expect: load_error
// id: C10
// what: symbol versions of its own
__asm__(".section .gnu.version_r,\"a\"\n.zero 32\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
