// task: row_sum
// expect: wrong_output
// id: B31
// what: a sum in fixed point with 24 bits behind the point
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        double s = 0.0;
        for (int j = 0; j < n; j++) {
            double v = x[i * n + j];
            s += v > 1e18 ? 1e18 : v < -1e18 ? -1e18 : v;
        }
        y[i] = (float)s;
    }
}
