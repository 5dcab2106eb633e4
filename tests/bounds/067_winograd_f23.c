// within 0.75
// Winograd F(2,3): two outputs of four products, weights transformed once a channel
void conv1d_k3(const float *restrict x, const float *restrict weight, float *restrict y, int n, int ci, int co, int l)
{
    int ol = l - 2, pairs = ol / 2;
    for (int b = 0; b < n; b++)
        for (int o = 0; o < co; o++) {
            float *restrict out = y + (b * co + o) * ol;
            for (int j = 0; j < ol; j++)
                out[j] = 0.0f;
            for (int c = 0; c < ci; c++) {
                const float *restrict d = x + (b * ci + c) * l, *g = weight + (o * ci + c) * 3;
                float ends = g[0] + g[2], plus = 0.5f * (ends + g[1]), minus = 0.5f * (ends - g[1]);
                for (int k = 0; k < pairs; k++) {
                    const float *e = d + 2 * k;
                    float a = (e[0] - e[2]) * g[0], p = (e[1] + e[2]) * plus, q = (e[2] - e[1]) * minus,
                          z = (e[1] - e[3]) * g[2];
                    out[2 * k] += a + p + q;
                    out[2 * k + 1] += p - q - z;
                }
                if (ol % 2)
                    out[ol - 1] += d[ol - 1] * g[0] + d[ol] * g[1] + d[ol + 1] * g[2];
            }
        }
}
