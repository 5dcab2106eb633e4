// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a helper before the function
static inline float clip(float v)
{
    return v > 0.0f ? v : 0.0f;
}
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = clip(x[i]);
}
