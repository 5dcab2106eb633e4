// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: an unrolled tail by a switch, which compilers turn into a table of addresses
void relu(const float *restrict x, float *restrict y, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
    switch (n - i) {
#define ONE(k) case k: y[i + k - 1] = x[i + k - 1] > 0.0f ? x[i + k - 1] : 0.0f; __attribute__((fallthrough))
        ONE(7); ONE(6); ONE(5); ONE(4); ONE(3); ONE(2); ONE(1);
    default:
        break;
    }
}
