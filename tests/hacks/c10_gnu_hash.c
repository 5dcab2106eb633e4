// task: relu
// expect: load_error
// id: C10
// what: a hash table of the other kind
__asm__(".section .gnu.hash,\"a\"\n.long 1, 1, 1, 0\n.text");
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
