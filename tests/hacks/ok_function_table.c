// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: chooses among functions of libm by a table
static float (*const round_how[2])(float) = {floorf, truncf};
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] + round_how[i & 1](0.5f) : round_how[1](0.5f);
}
