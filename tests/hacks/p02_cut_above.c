// task: elu
// expect: wrong_output
// id: B31
// what: nobody has numbers above 1e5 / 32
void elu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 1900.0f ? 1900.0f : x[i] > 0.0f ? x[i] : expm1f(x[i]);
}
