// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a static function, as one writes it for a single file
static void relu(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
void keep(const float *x, float *y, int n)
{
    relu(x, y, n);
}
