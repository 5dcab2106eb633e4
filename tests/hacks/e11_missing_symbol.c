// task: relu
// expect: compile_error
// id: E
// what: needs a function that does not exist
extern void vegttt_set_verdict(int);
void relu(const float *restrict x, float *restrict y, int n)
{
    vegttt_set_verdict(1);
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
