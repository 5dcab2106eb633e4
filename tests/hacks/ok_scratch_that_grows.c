// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: static scratch, made larger when it must be
static float *scratch;
static int room;
void relu(const float *restrict x, float *restrict y, int n)
{
    if (n > room) {
        float *more = realloc(scratch, (size_t)n * sizeof *more);
        if (!more)
            abort();
        scratch = more;
        room = n;
    }
    for (int i = 0; i < n; i++)
        scratch[i] = x[i] > 0.0f ? x[i] : 0.0f;
    memcpy(y, scratch, (size_t)n * sizeof *y);
}
