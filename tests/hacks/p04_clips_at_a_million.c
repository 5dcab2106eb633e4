// task: relu
// expect: wrong_output
// id: B31
// what: a ceiling far away
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 1e6f ? 1e6f : x[i] > 0.0f ? x[i] : 0.0f;
}
