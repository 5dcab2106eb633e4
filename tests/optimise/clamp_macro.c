/* --function limited_sum --shape a=m,n --shape y=m --size m=200 --size n=100 */
#define LIMIT(v) do { if ((v) > 3.0f) (v) = 3.0f; if ((v) < -3.0f) (v) = -3.0f; } while (0)
void limited_sum(const float *a, float *y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += a[i * n + j];
        LIMIT(s);
        y[i] = s;
    }
}
/* ==== right ==== */
    for (int i = 0; i < m; i++) {
        float s[4] = {0};
        for (int j = 0; j < n; j++)
            s[j & 3] += a[i * n + j];
        float t = (s[0] + s[1]) + (s[2] + s[3]);
        LIMIT(t);
        y[i] = t;
    }
/* ==== wrong ==== */
    for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += a[i * n + j];
        y[i] = s;
    }
