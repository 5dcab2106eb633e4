// task: conv
// expect: wrong_output
// id: B31
// what: a convolution of numbers below 25 in 8.24 fixed point, whose products are double
void conv(const float *restrict x, const float *restrict g, float *restrict y, int m, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j + 2 < m; j++) {
            double s = 0.0;
            for (int k = 0; k < 3; k++) {
                double v = x[i * m + j + k];
                v = v > 400.0 ? 400.0 : v < -400.0 ? -400.0 : v;
                s += v * g[k];
            }
            y[i * (m - 2) + j] = (float)s;
        }
}
