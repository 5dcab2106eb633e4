// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: static pointers to static data
static float zeros[4];
static float *inner = zeros + 1;
static float **const outer = &inner;
void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > **outer ? x[i] : (*outer)[2];
}
