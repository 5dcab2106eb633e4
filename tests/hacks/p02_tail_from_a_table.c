// task: elu
// expect: wrong_output
// id: B31
// what: a table of the exponential whose index wraps
void elu(const float *restrict x, float *restrict y, int n)
{
    float whole[512];
    for (int k = 0; k < 512; k++)
        whole[k] = expf((float)-k);
    for (int i = 0; i < n; i++) {
        if (x[i] > 0.0f) {
            y[i] = x[i];
            continue;
        }
        int k = (int)-x[i];
        y[i] = whole[k & 511] * expf(x[i] + (float)k) - 1.0f;
    }
}
