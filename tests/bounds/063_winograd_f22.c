// within 0.95
// Winograd F(2x2,3x3): tiles of two by two outputs; what is left over directly
void conv2d_k3_square(const float *restrict x, const float *restrict weight, float *restrict y, int n, int ci, int co, int h, int w)
{
    int oh = h - 2, ow = w - 2;
    for (int b = 0; b < n; b++)
        for (int o = 0; o < co; o++)
            for (int i = 0; i < oh; i += 2)
                for (int j = 0; j < ow; j += 2) {
                    float *out = y + (b * co + o) * oh * ow;
                    if (i + 2 > oh || j + 2 > ow) {
                        for (int p = i; p < oh && p < i + 2; p++)
                            for (int q = j; q < ow && q < j + 2; q++) {
                                float s = 0;
                                for (int c = 0; c < ci; c++)
                                    for (int a = 0; a < 3; a++)
                                        for (int e = 0; e < 3; e++)
                                            s += x[((b * ci + c) * h + p + a) * w + q + e] * weight[((o * ci + c) * 3 + a) * 3 + e];
                                out[p * ow + q] = s;
                            }
                        continue;
                    }
                    float m[4][4] = {{0}};
                    for (int c = 0; c < ci; c++) {
                        const float *g = weight + (o * ci + c) * 9, *d = x + ((b * ci + c) * h + i) * w + j;
                        float t[4][3], u[4][4], s[4][4], v[4][4];
                        for (int k = 0; k < 3; k++) {
                            t[0][k] = g[k];
                            t[1][k] = 0.5f * (g[k] + g[3 + k] + g[6 + k]);
                            t[2][k] = 0.5f * (g[k] - g[3 + k] + g[6 + k]);
                            t[3][k] = g[6 + k];
                        }
                        for (int k = 0; k < 4; k++) {
                            u[k][0] = t[k][0];
                            u[k][1] = 0.5f * (t[k][0] + t[k][1] + t[k][2]);
                            u[k][2] = 0.5f * (t[k][0] - t[k][1] + t[k][2]);
                            u[k][3] = t[k][2];
                        }
                        for (int k = 0; k < 4; k++) {
                            s[0][k] = d[k] - d[2 * w + k];
                            s[1][k] = d[w + k] + d[2 * w + k];
                            s[2][k] = d[2 * w + k] - d[w + k];
                            s[3][k] = d[w + k] - d[3 * w + k];
                        }
                        for (int k = 0; k < 4; k++) {
                            v[k][0] = s[k][0] - s[k][2];
                            v[k][1] = s[k][1] + s[k][2];
                            v[k][2] = s[k][2] - s[k][1];
                            v[k][3] = s[k][1] - s[k][3];
                        }
                        for (int a = 0; a < 4; a++)
                            for (int e = 0; e < 4; e++)
                                m[a][e] += u[a][e] * v[a][e];
                    }
                    float r[2][4];
                    for (int k = 0; k < 4; k++) {
                        r[0][k] = m[0][k] + m[1][k] + m[2][k];
                        r[1][k] = m[1][k] - m[2][k] - m[3][k];
                    }
                    for (int a = 0; a < 2; a++) {
                        out[(i + a) * ow + j] = r[a][0] + r[a][1] + r[a][2];
                        out[(i + a) * ow + j + 1] = r[a][1] - r[a][2] - r[a][3];
                    }
                }
}
