// task: relu
// expect: wrong_output
// id: B31
// what: the magnitude as the root of a square, which overflows
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = 0.5f * (x[i] + sqrtf(x[i] * x[i]));
}
