// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: variables named j0, gamma and time
static float gamma[2] = {0.0f, 1.0f};
static int j0 = 1;
static float abs(float v)
{
    return v < 0.0f ? -v : v;
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = gamma[j0] * (x[i] + abs(x[i])) * 0.5f;
}
