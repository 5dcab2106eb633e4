// task: relu
// expect: compile_error|load_error|runtime_error
// id: E2
// what: declares 64 GB of zeros
static volatile float big[16ul << 30];
void relu(const float *restrict x, float *restrict y, int n)
{
    for (long i = 0; i < 16l << 30; i += 1024)
        big[i] = 1;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
