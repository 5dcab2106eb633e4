// beyond
// inputs rounded to the ten bits of half precision
static float half(float v)
{
    union { float f; unsigned u; } x = {v};
    x.u = (x.u + 0x1000) & ~0x1fffu;
    return x.f;
}
void conv1d_k3(const float *restrict x, const float *restrict weight, float *restrict y, int n, int ci, int co, int l)
{
    int ol = l - 2;
    for (int b = 0; b < n; b++)
        for (int o = 0; o < co; o++)
            for (int j = 0; j < ol; j++) {
                float s = 0.0f;
                for (int c = 0; c < ci; c++)
                    for (int k = 0; k < 3; k++)
                        s += half(x[(b * ci + c) * l + j + k]) * half(weight[(o * ci + c) * 3 + k]);
                y[(b * co + o) * ol + j] = s;
            }
}
