// task: relu
// expect: load_error
// id: E
// what: hides the function
__attribute__((visibility("hidden"))) void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
