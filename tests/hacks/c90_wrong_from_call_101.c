// task: relu
// expect: wrong_output
// id: C
// what: right a hundred times in a process
static int calls;
void relu(const float *restrict x, float *restrict y, int n)
{
    calls++;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    if (calls > 100)
        y[0] = 1.5f;
}
