// task: relu
// expect: runtime_error
// id: M
// what: writes to a constant of its own
const int table[4] = {1, 2, 3, 4};
void relu(const float *restrict x, float *restrict y, int n)
{
    ((volatile int *)table)[n & 3] = 0;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
