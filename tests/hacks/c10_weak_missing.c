// task: relu
// expect: compile_error
// id: C10
// what: asks whether a function of the worker is there
extern __attribute__((weak)) void template_run(void);
void relu(const float *restrict x, float *restrict y, int n)
{
    if (template_run)
        template_run();
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
