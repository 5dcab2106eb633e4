/* --function bias_rows --shape x=m,n --shape y=m,n --size m=150 --size n=64 */
static float bias[64];
float strength = 1.0f;
void set_bias(int i, float v) { bias[i % 64] = v; }
/* n is 64 at most */
void bias_rows(const float *x, float *y, int m, int n)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            y[i * n + j] = strength * x[i * n + j] / (1 + x[i * n + j] * x[i * n + j]) + bias[j];
}
/* ==== right ==== */
    const float s = strength;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float v = x[i * n + j];
            y[i * n + j] = s * v / (1 + v * v) + bias[j];
        }
/* ==== wrong ==== */
    for (int i = 0; i < m * n; i++)
        y[i] = x[i] / (1 + x[i] * x[i]);
