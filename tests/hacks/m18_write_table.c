// task: relu
// expect: runtime_error
// id: M
// what: writes to its table of addresses
static float (*const table[2])(float) = {sqrtf, expf};
void relu(const float *restrict x, float *restrict y, int n)
{
    float (**volatile spot)(float) = (float (**)(float))table;
    spot[n & 1] = 0;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
