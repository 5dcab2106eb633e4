// task: relu
// expect: load_error
// id: C10
// what: a hash table whose chain is a circle
__asm__(".section .hash,\"a\"\n.long 1, 2, 1, 0, 1, 0\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
