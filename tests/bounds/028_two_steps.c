// within 0.5
// the same, multiplied and added with a rounding each
void hard_sigmoid(const float *restrict x, float *restrict y, int n)
{
    for (int i = 0; i < n; i++) {
        volatile float product = x[i] * 0.166666672f;
        float v = product + 0.5f;
        v = v > 0.0f ? v : 0.0f;
        y[i] = v < 1.0f ? v : 1.0f;
    }
}
