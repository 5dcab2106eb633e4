// task: relu
// expect: load_error
// id: C10
// what: keeps a number in a common block
__asm__(".comm number,64");
extern int number[];
void relu(const float *restrict x, float *restrict y, int n)
{
    number[0]++;
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
