// task: relu
// expect: compile_error
// id: E
// what: calls a function of the worker
extern void cage_seccomp(void);
void relu(const float *restrict x, float *restrict y, int n)
{
    cage_seccomp();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
