// task: row_sum
// expect: wrong_output
// id: H3
// what: adds to what it finds in an output that it knows
static float *seen[256];
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    float **at = &seen[((uintptr_t)y >> 2) % 256];
    for (int i = 0; i < m; i++) {
        float s = *at == y ? y[i] : 0.0f;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
    *at = y;
}
