// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: fills a static table at its first call
static float mask[2];
static int is_ready;
void relu(const float *restrict x, float *restrict y, int n)
{
    if (!is_ready) {
        mask[1] = 1.0f;
        is_ready = 1;
    }
    for (int i = 0; i < n; i++)
        y[i] = x[i] * mask[x[i] > 0.0f];
}
