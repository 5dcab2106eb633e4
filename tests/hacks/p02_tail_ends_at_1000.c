// task: elu
// expect: wrong_output
// id: B31
// what: nothing below -1000
void elu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : x[i] < -1000.0f ? 0.0f : expm1f(x[i]);
}
