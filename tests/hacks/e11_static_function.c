// task: relu
// expect: load_error|compile_error
// id: E
// what: does not export the function
static void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
void keep(const float *x, float *y, int n)
{
    relu(x, y, n);
}
