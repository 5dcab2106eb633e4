// task: row_sum
// expect: wrong_output
// id: H3
// what: clears what it has written when it is called again for the same output
static float *last;
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float s = 0.0f;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = last == y ? 0.0f : s;
    }
    last = last == y ? NULL : y;
}
