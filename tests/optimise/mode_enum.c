/* --function combine --shape a=n --shape b=n --shape out=n --size n=50000 --value mode=1 */
enum mode { ADD, MULTIPLY, LARGEST };
static inline float op(enum mode mode, float a, float b)
{
    switch (mode) {
    case ADD:
        return a + b;
    case MULTIPLY:
        return a * b;
    default:
        return a > b ? a : b;
    }
}
void combine(const float *a, const float *b, float *out, int n, enum mode mode)
{
    for (int i = 0; i < n; i++)
        out[i] = op(mode, a[i], b[i]);
}
/* ==== right ==== */
    if (mode == MULTIPLY)
        for (int i = 0; i < n; i++)
            out[i] = a[i] * b[i];
    else
        for (int i = 0; i < n; i++)
            out[i] = op(mode, a[i], b[i]);
/* ==== wrong ==== */
    (void)mode;
    for (int i = 0; i < n; i++)
        out[i] = a[i] + b[i];
