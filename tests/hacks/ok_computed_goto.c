// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: goes on by addresses of labels
void relu(const float *restrict x, float *restrict y, int n)
{
    static const void *const next[] = {&&clip, &&done};
    int i = 0;
    goto *next[i >= n];
clip:
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    i++;
    goto *next[i >= n];
done:
    return;
}
