// task: relu
// expect: compile_error
// id: C10
// what: writes to a variable of the C library
extern char **environ;
void relu(const float *restrict x, float *restrict y, int n)
{
    environ = 0;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
